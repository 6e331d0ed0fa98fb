hauberk_layer(net
  SOURCES http_client.c http_request.c
  LINK hauberk_base PkgConfig::CURL PkgConfig::MHD PkgConfig::CRYPTO)
