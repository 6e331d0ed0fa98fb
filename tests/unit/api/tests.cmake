hauberk_unit_test(api/profile hauberk_api)
hauberk_unit_test(api/rollout_spec hauberk_api)
hauberk_unit_test(api/selector hauberk_api)
hauberk_unit_test(api/sync_msg hauberk_api)
