hauberk_layer(api
  SOURCES profile.c rollout_spec.c selector.c sync_decode.c sync_encode.c sync_family.c
          sync_msg.c sync_report.c
  LINK hauberk_kube)
