pkg_check_modules(GNUTLS REQUIRED IMPORTED_TARGET gnutls>=3.7)

hauberk_layer(net
  SOURCES http_cert.c http_client.c http_conn.c http_daemon.c http_exchange.c http_request.c http_server.c
    tls.c
  LINK hauberk_base PkgConfig::CURL PkgConfig::MHD PkgConfig::GNUTLS PkgConfig::CRYPTO)
