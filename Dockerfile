# The image of hauberk-controller and hauberk-agent.
#
# With an engine that reaches a registry: docker build -t hauberk.dev/hauberk:0.1.0 .
# Without one: tools/build-image, which makes BASE from the distribution's packages.
ARG BASE=debian:12-slim

FROM ${BASE} AS build
WORKDIR /src
COPY tools/install-deps tools/install-deps
RUN tools/install-deps build
COPY . .
RUN cmake --preset release \
 && cmake --build --preset release --target hauberk-agent hauberk-controller hauberk-sandbox kubectl-hauberk \
 && cd build/release/bin \
 && install -D --strip -t /out/usr/bin hauberk-agent hauberk-controller kubectl-hauberk \
 && install -D --strip -t /out/usr/libexec/hauberk hauberk-sandbox

# The parser and its abstractions are the controller's; the agent needs the libraries alone. One image for both, so that a node
# that runs both holds one.
FROM ${BASE} AS runtime
RUN apt-get -q update \
 && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
    apparmor ca-certificates libapparmor1 libcurl4 libjson-c5 libmicrohttpd12 libseccomp2 libssl3 libuv1 libyaml-0-2 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/* /usr/share/doc/* /usr/share/man/* /usr/share/locale/*

FROM runtime AS image
COPY --from=build /out/ /
LABEL org.opencontainers.image.title=Hauberk org.opencontainers.image.licenses=Apache-2.0
