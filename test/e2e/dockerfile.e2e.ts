/**
 * Folders with a Dockerfile become images by Debian's buildah, out of and into the embedded registry. Skipped, with a line, where buildah or root is missing.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { systemClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { digestOf } from "#images/blobs.ts";
import { buildImage } from "#images/build/build-image.ts";
import { buildDockerfile, type DockerfileBuild, type DockerfileParts } from "#images/build/dockerfile.ts";
import { ImageStore, type StoredImage } from "#images/image-store.ts";
import { addNamedImage, loadImages } from "#images/load.ts";
import { EmbeddedRegistry } from "#images/registry/embedded-registry.ts";
import { announceHosts } from "#images/registry/hosts.ts";
import { RegistryHandler } from "#images/registry/registry-handler.ts";
import { loadLibc } from "#linux/libc.ts";
import { findProgram } from "#runtime/machine.ts";
import { ensureLayout } from "../../tools/image-builder/build.ts";

const searchPath = process.env["PATH"] ?? "";
const buildah = findProgram("buildah", searchPath);
const skip =
  (process.getuid?.() !== 0 && "needs root") ||
  (buildah === undefined && "buildah is not there (apt-get install buildah)");

describe("building Dockerfiles", { skip }, () => {
  const never = new AbortController().signal;
  let folder: string;
  let store: ImageStore;
  let server: Server;
  let host: string;
  let parts: DockerfileParts;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "nodeless-dockerfile-"));
    store = new ImageStore({ folder: join(folder, "images"), clock: systemClock, specialFiles: await loadLibc() });
    await store.open();
    const registry = new EmbeddedRegistry({ store });
    const handler = new RegistryHandler({ registry, clock: systemClock, logger: silentLogger });
    server = createServer((request, response) => void handler.handle(request, response)).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    await announceHosts(store.folder, "one", { address: host, hosts: [host], path: folder });
    const [busybox] = await loadImages(store, await ensureLayout("busybox"), { name: "busybox" });
    // Laid upon nothing new: it has a history then, as what other builders make.
    const base = await buildImage({ store }, { base: busybox?.tags[0], layers: [] });
    await registry.publish({ repository: "busybox", tag: "1" }, base.digest);
    // Nobody but root may look in here: the build must not have to.
    parts = { store, folder: join(folder, "builds"), buildah, searchPath };
  });
  after(() => {
    server?.closeAllConnections();
    server?.close();
    rmSync(folder, { recursive: true, force: true });
    const { stdout } = spawnSync("ps", ["-eo", "pid,args"], { encoding: "utf8" });
    assert.ok(!stdout.includes(folder), `left running:\n${stdout.split("\n").filter((line) => line.includes(folder))}`);
    assert.ok(!readFileSync("/proc/self/mounts", "utf8").includes(folder), "nothing stays mounted");
  });

  function project(name: string, files: Readonly<Record<string, string>>): string {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(join(folder, name, path, ".."), { recursive: true });
      writeFileSync(join(folder, name, path), content.replaceAll("BASE", `${host}/busybox:1`), { mode: 0o600 });
    }
    return join(folder, name);
  }

  async function build(more: DockerfileBuild, signal: AbortSignal = never): Promise<StoredImage> {
    return addNamedImage(store, (await buildDockerfile(parts, more, signal)).digest, "built:1");
  }

  function read(image: StoredImage, path: string): string {
    const layer = image.layers.toReversed().find((name) => existsSync(join(store.layersFolder, name, path)));
    return readFileSync(join(store.layersFolder, layer ?? "", path), "utf8");
  }

  test("steps run, files are copied, arguments and settings arrive, each line is heard", async () => {
    const lines: string[] = [];
    const context = project("usual", {
      Dockerfile: `FROM BASE AS first
ARG WHO=nobody
RUN mkdir /made && echo "hello $WHO" > /made/hello && id -u > /made/user
FROM BASE
COPY --from=first /made /app
COPY lib /app/lib
ENV MODE=test
USER 1000
EXPOSE 8080
CMD ["cat", "/app/hello"]
`,
      "lib/a.txt": "a",
      "lib/left.out": "",
      ".dockerignore": "**/*.out\n",
    });

    const image = await build({ context, buildArgs: { WHO: "you; rm -rf $HOME" }, onLine: (line) => lines.push(line) });

    assert.equal(read(image, "app/hello"), "hello you; rm -rf $HOME\n");
    assert.equal(read(image, "app/user"), "0\n");
    assert.equal(read(image, "app/lib/a.txt"), "a");
    assert.throws(() => read(image, "app/lib/left.out"));
    const { Cmd, Env, User } = image.config.config ?? {};
    assert.deepEqual([Cmd, User, Env?.includes("MODE=test")], [["cat", "/app/hello"], "1000", true]);
    assert.ok(
      lines.some((line) => /^(\[\d\/\d\] )?STEP .*COPY lib \/app\/lib/.test(line)),
      lines.join("\n"),
    );
  });

  test("layers of earlier builds are used again, another stage and file can be chosen", async () => {
    const context = project("again", {
      "deploy/Build.file":
        "FROM BASE AS slow\nRUN cat /proc/sys/kernel/random/uuid > /once\nFROM slow AS other\nRUN echo other > /other\nFROM slow\nRUN echo last > /last\n",
    });
    const dockerfile = "deploy/Build.file";

    const first = await build({ context, dockerfile });
    const second = await build({ context, dockerfile, target: "other" });

    assert.equal(read(second, "once"), read(first, "once"));
    assert.equal(read(second, "other"), "other\n");
  });

  test("what was loaded on this machine is a base under its name, with no registry to ask; what was pulled for somebody is not", async () => {
    const name = "registry.invalid/base/busybox";
    const base = await buildImage({ store }, { base: "busybox", layers: [], name: `${name}:1` });
    await buildImage({ store }, { base: "busybox", layers: [{ files: [{ path: "mine", content: "" }] }] }).then(
      ({ digest }) => store.add(digest, { tag: "registry.invalid/private/app:1" }),
    );
    const context = project("loaded", {
      Dockerfile: `FROM ${name}:1 AS first\nRUN echo one > /one\nFROM ${name}@${base.digest}\nCOPY --from=first /one /two\n`,
    });

    const image = await build({ context });

    assert.equal(read(image, "two"), "one\n");
    const denied = project("pulled", { Dockerfile: "FROM registry.invalid/private/app:1\n" });
    await assert.rejects(build({ context: denied }), { kind: "BuildFailed", message: /registry\.invalid/ });
  });

  test("a base may be named as Docker Hub's are, without a registry", async () => {
    await buildImage({ store }, { base: "busybox", layers: [], name: "docker.io/library/shortly:1" });
    const context = project("short", { Dockerfile: "FROM shortly:1\nRUN echo short > /name\n" });

    const image = await build({ context });

    assert.equal(read(image, "name"), "short\n");
  });

  test("a base that says nothing of how it was made can be built upon too", async () => {
    const built = await buildImage({ store }, { base: "busybox", layers: [] });
    const { history: _, ...config } = JSON.parse((await store.blobs.read(built.id)).toString()) as { history: unknown };
    const put = async (value: unknown) => {
      const bytes = Buffer.from(JSON.stringify(value));
      await store.blobs.writeBytes(digestOf(bytes), bytes);
      return { digest: digestOf(bytes), size: bytes.length };
    };
    const described = { ...built.manifest, config: { ...built.manifest.config, ...(await put(config)) } };
    await new EmbeddedRegistry({ store }).publish({ repository: "bare", tag: "1" }, (await put(described)).digest);
    const context = project("bare", { Dockerfile: `FROM ${host}/bare:1\nRUN echo 1 > /one\nRUN echo 2 > /two\n` });

    const image = await build({ context });

    assert.deepEqual([read(image, "one"), read(image, "two")], ["1\n", "2\n"]);
  });

  test("a step is root of nothing: not of this machine's processes, files or kernel", async () => {
    const secret = join(folder, "secret");
    writeFileSync(secret, "secret", { mode: 0o600 });
    const context = project("hostile", {
      Dockerfile: `FROM BASE
RUN cat /proc/self/uid_map > /map; ls /proc | grep -c '^[0-9]*$' > /processes; (kill -9 ${process.pid} && echo yes || echo no) > /killed 2>/dev/null; \\
 (cat /proc/1/root${secret} || true) > /secret 2>/dev/null; (mknod /disk b 8 0 && echo yes || echo no) > /device 2>/dev/null; \\
 (echo 1 > /proc/sys/kernel/sysrq && echo yes || echo no) > /kernel 2>/dev/null; true
`,
    });

    const image = await build({ context });

    assert.match(read(image, "map"), /^\s*0\s+1900000000\s+65536/);
    assert.ok(Number(read(image, "processes")) < 20);
    assert.deepEqual(
      ["killed", "secret", "device", "kernel"].map((name) => read(image, name)),
      ["no\n", "", "no\n", "no\n"],
    );
  });

  test("what is wrong is said in one sentence", async () => {
    const fails = async (dockerfile: string, message: RegExp) => {
      const context = project(`wrong-${Math.random()}`, { Dockerfile: dockerfile });
      await assert.rejects(build({ context }), { kind: "BuildFailed", reason: "failed", message });
    };

    await fails("FROM BASE\nRUN echo gone && exit 7\n", /^the build failed: .*exit 7.*exit status 7/);
    await fails("FROM BASE\nCOPY absent /\n", /absent/);
    await fails("NONSENSE\n", /no FROM statement/);
    await fails(`FROM ${host}/absent:1\n`, /absent/);
    await assert.rejects(
      build({ context: project("none", { "a.txt": "" }) }),
      /has no Dockerfile and no Containerfile/,
    );
    const without = buildDockerfile({ ...parts, buildah: undefined }, { context: folder }, never);
    await assert.rejects(without, { reason: "missing-tool", message: /sudo apt-get install -y buildah/ });
  });

  test("a build that takes too long, or is not wanted any more, ends with all its processes; the next one works", async () => {
    const context = project("slow", { Dockerfile: "FROM BASE\nRUN echo begun; sleep 4321\n" });
    const stop = new AbortController();
    const onLine = (line: string) => line === "begun" && stop.abort(new Error("enough"));

    await assert.rejects(build({ context, onLine }, stop.signal), { message: "enough" });
    await assert.rejects(build({ context, timeoutMs: 4000 }), {
      reason: "timeout",
      message: "the build took longer than 4 s",
    });

    assert.ok(!spawnSync("ps", ["-eo", "args"], { encoding: "utf8" }).stdout.includes("sleep 4321"));
    const image = await build({ context: project("after", { Dockerfile: "FROM BASE\nRUN echo fine > /fine\n" }) });
    assert.equal(read(image, "fine"), "fine\n");
    assert.deepEqual(readdirSync(parts.folder).includes("work"), false);
  });
});
