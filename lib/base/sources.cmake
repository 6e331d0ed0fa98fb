hauberk_layer(base
  SOURCES backoff.c base64.c buf.c clock.c diff.c err.c file.c js.c log.c map.c mem.c options.c proc.c sha.c str.c yml.c
  LINK PkgConfig::UV PkgConfig::JSON PkgConfig::YAML PkgConfig::CRYPTO)
