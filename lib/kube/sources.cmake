hauberk_layer(kube
  SOURCES client.c config.c informer.c kubeconfig.c patch.c query.c random.c retry.c store.c token.c
    watch.c watch_lines.c
  LINK hauberk_net)
