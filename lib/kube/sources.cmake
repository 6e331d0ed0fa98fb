hauberk_layer(kube
  SOURCES client.c config.c event.c event_rules.c exec_credential.c informer.c kubeconfig.c lease.c lease_rules.c patch.c
    query.c queue.c queue_rules.c random.c retry.c store.c token.c watch.c watch_lines.c
  LINK hauberk_net)
