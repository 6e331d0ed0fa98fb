foreach(module aafs desired keeper last_set policy_cache record sync_client tasks)
  hauberk_unit_test(agent/${module} hauberk_agent)
endforeach()
target_link_options(test_agent_record PRIVATE -Wl,--wrap=file_replace)
target_link_options(test_agent_tasks PRIVATE -Wl,--wrap=readdir)
target_sources(test_agent_keeper PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/unit/agent/model_kernel.c)
target_link_options(test_agent_keeper PRIVATE -Wl,--wrap=file_replace -Wl,--wrap=unit_backoff_ms
  -Wl,--wrap=policy_blob_parse -Wl,--wrap=policy_blob_check)
