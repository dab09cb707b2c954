# syntax=docker/dockerfile:1
# Kulti's image: the one binary on Debian, run by a user without rights.

FROM rust:1.95.0-slim-trixie AS build
RUN apt-get update \
  && apt-get install -y --no-install-recommends g++ make \
  && rm -rf /var/lib/apt/lists/*
RUN rustup target add wasm32-unknown-unknown
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
  --mount=type=cache,target=/src/target \
  dev/wasm \
  && cargo build --release --locked -p kulti \
  && strip --strip-debug -o /kulti target/release/kulti

FROM debian:trixie-slim
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --uid 10001 --create-home --home-dir /var/lib/kulti --shell /usr/sbin/nologin kulti
COPY --from=build /kulti /usr/local/bin/kulti
USER 10001
WORKDIR /var/lib/kulti
ENV KULTI_LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 CMD ["kulti", "doctor", "--ready"]
ENTRYPOINT ["kulti"]
CMD ["serve"]
