# The images: outrigger (the last stage, what `docker build .` makes) and with --target outrigger-grpc, the same with
# the module for gRPC probes, or --target mock-ai, the AI service of the samples. tools/image/build makes the same without a container engine: it runs the same script and reads
# what a stage says about user, ports and entry point from this file.

FROM debian:12-slim AS build
WORKDIR /src
COPY tools/install-deps tools/install-deps
RUN tools/install-deps --build && rm -rf /var/lib/apt/lists/*
COPY . .
RUN for image in outrigger outrigger-grpc mock-ai; do tools/image/rootfs "$image" "/rootfs/$image" || exit 1; done

FROM scratch AS mock-ai
COPY --from=build /rootfs/mock-ai /
LABEL org.opencontainers.image.title="mock-ai" org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
EXPOSE 8000
ENTRYPOINT ["/usr/bin/mock-ai"]
CMD ["--listen", "0.0.0.0:8000"]

FROM scratch AS outrigger-grpc
COPY --from=build /rootfs/outrigger-grpc /
LABEL org.opencontainers.image.title="outrigger" org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
EXPOSE 15001 15020
ENTRYPOINT ["/usr/bin/outrigger"]
CMD ["--help"]

FROM scratch AS outrigger
COPY --from=build /rootfs/outrigger /
LABEL org.opencontainers.image.title="outrigger" org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
EXPOSE 15001 15020
ENTRYPOINT ["/usr/bin/outrigger"]
CMD ["--help"]
