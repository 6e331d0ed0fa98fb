hauberk_unit_test(net/http_client hauberk_net)
hauberk_unit_test(net/http_server hauberk_net)
hauberk_unit_test(net/tls hauberk_net)
