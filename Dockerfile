# syntax=docker/dockerfile:1
# Usher in one image: `docker build .` runs it on Bun, `--target deno` the same files on Deno.

FROM oven/bun:1.4 AS files
WORKDIR /usher
COPY package.json bun.lock ./
COPY contracts/package.json contracts/
COPY client/package.json client/
COPY server/package.json server/
COPY test/package.json test/
COPY load/package.json load/
# Peers are type packages here; nothing optional is used.
RUN bun install --frozen-lockfile --production --omit peer --omit optional --filter @usher/server
COPY contracts/src contracts/src
COPY server/src server/src

FROM denoland/deno:debian-2.9.6 AS deno
WORKDIR /usher
COPY --from=files /usher ./
ENV HOST=0.0.0.0 PORT=8787 NODE_ENV=production DENO_NO_UPDATE_CHECK=1
USER 1993:1993
EXPOSE 8787
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \
  CMD ["deno", "eval", "if (!(await fetch(`http://127.0.0.1:${Deno.env.get('PORT')}/healthz`)).ok) Deno.exit(1)"]
CMD ["deno", "run", "--conditions=bun", "--allow-net", "--allow-env", "--allow-read", "--allow-sys", "server/src/main.ts"]

FROM oven/bun:1.4-slim AS bun
WORKDIR /usher
COPY --from=files /usher ./
ENV HOST=0.0.0.0 PORT=8787 NODE_ENV=production
USER 1000:1000
EXPOSE 8787
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s \
  CMD ["bun", "-e", "if (!(await fetch(`http://127.0.0.1:${process.env.PORT}/healthz`)).ok) process.exit(1)"]
# Without a shell or a package manager in front, SIGTERM reaches the server, which drains.
CMD ["bun", "server/src/main.ts"]
