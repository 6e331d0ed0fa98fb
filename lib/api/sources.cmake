hauberk_layer(api
  SOURCES profile.c rollout_spec.c selector.c sync_decode.c sync_encode.c sync_msg.c
  LINK hauberk_kube)
