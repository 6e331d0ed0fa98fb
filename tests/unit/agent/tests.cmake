foreach(module aafs desired policy_cache record tasks)
  hauberk_unit_test(agent/${module} hauberk_agent)
endforeach()
target_link_options(test_agent_record PRIVATE -Wl,--wrap=file_replace)
