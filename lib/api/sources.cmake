hauberk_layer(api
  SOURCES profile.c selector.c sync_msg.c
  LINK hauberk_kube)
