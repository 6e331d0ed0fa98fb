hauberk_layer(net
  SOURCES http_client.c http_server.c tls.c
  LINK hauberk_base PkgConfig::CURL PkgConfig::MHD PkgConfig::CRYPTO)
