hauberk_unit_test(net/tls hauberk_net)
