hauberk_unit_test(controller/artefact hauberk_controller)
target_link_options(test_controller_artefact PRIVATE -Wl,--wrap=file_replace)
hauberk_unit_test(controller/engine hauberk_controller)
