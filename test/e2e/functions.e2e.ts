/**
 * Functions as a person uses them: the examples deployed, asked, asleep and asked again, a canary by tags, and what becomes of code that is broken or means harm. All in one cluster.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ClusterStatus } from "#cli/machine.ts";
import {
  canRunContainers,
  eventually,
  loadExampleImages,
  repository,
  startCluster,
  type TestCluster,
} from "../support/cluster.ts";

const skip = canRunContainers() ? false : "needs root, conmon and crun or runc";
const name = "functions-e2e";
const examples = join(repository, "examples/functions");

type Answer = { readonly status: number; readonly text: string; readonly tookMs: number };
type Fn = {
  readonly metadata: { readonly generation: number };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
    readonly latestReadyRevisionName?: string;
  };
};

describe("functions", { skip }, () => {
  let cluster: TestCluster;
  let status: ClusterStatus;
  const work = mkdtempSync(join(tmpdir(), "nl-functions-"));
  const fn = (args: readonly string[], options: { readonly mayFail?: boolean } = {}) =>
    cluster.nodeless(["fn", ...args, "--name", name], options);
  const folderOf = (title: string, files: Readonly<Record<string, string>>): string => {
    const folder = join(work, title);
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    return folder;
  };
  const deploy = (title: string, files: Readonly<Record<string, string>>, ...flags: readonly string[]) =>
    fn(["deploy", title, "--source", folderOf(title, files), ...flags], { mayFail: true });
  const ask = (title: string, path = "/"): Promise<Answer> =>
    get(status.addresses.nodePorts, `${title}.default.localhost`, path);
  const objectOf = async (title: string): Promise<Fn> =>
    JSON.parse((await cluster.kubectl(["get", "fn", title, "-o", "json"])).stdout) as Fn;
  const condition = async (title: string, type: string) =>
    (await objectOf(title)).status?.conditions?.find((one) => one.type === type);
  const pods = async (title: string) =>
    (await cluster.kubectl(["get", "pods", "-l", `nodeless.dev/function=${title}`, "-o", "name"])).stdout
      .split("\n")
      .filter(Boolean).length;

  before(async () => {
    // The first deployment asks for Serving.
    cluster = await startCluster(name, { arguments: ["--no-serving"] });
  });
  after(async () => {
    await cluster.remove();
    rmSync(work, { recursive: true, force: true });
  });

  test("a folder is deployed by one command, also into a cluster that has no Serving yet", async () => {
    const { stdout } = await fn(["deploy", "hello", "--source", join(examples, "hello"), "--window", "6s"]);
    status = JSON.parse((await cluster.nodeless(["status", "--name", name, "-o", "json"])).stdout) as ClusterStatus;
    const answer = await ask("hello", "/?name=you");

    assert.match(stdout, /Bundling index\.ts[^]*✓ hello-00001\nhttp:\/\/hello\.default\.localhost\n/);
    assert.deepEqual([answer.status, answer.text], [200, "Hello, you!\n"]);
    assert.match(
      (await cluster.kubectl(["get", "fn"])).stdout,
      /hello +http:\/\/hello\.default\.localhost +True +hello-00001/,
    );
  });

  test("each line of its log says of which request it is", async () => {
    const { stdout } = await fn(["invoke", "hello", "--path", "/?name=log", "-i"]);
    const [, id = ""] = /x-request-id: (\S+)/.exec(stdout) ?? [];

    assert.match(stdout, /^HTTP\/1\.1 200/);
    const { stdout: log } = await fn(["logs", "hello", "--request", id]);
    assert.equal(log, `[${id}] greeting log\n`);
  });

  test("the same source makes no new revision, another one does, and its digest is another", async () => {
    await fn(["deploy", "hello", "--source", join(examples, "hello"), "--window", "6s"]);
    assert.equal((await objectOf("hello")).status?.latestReadyRevisionName, "hello-00001");

    cpSync(join(examples, "hello"), join(work, "hello-2"), { recursive: true });
    writeFileSync(join(work, "hello-2/index.ts"), "export default () => new Response('second\\n');\n");
    await fn(["deploy", "hello", "--source", join(work, "hello-2"), "--window", "6s"]);
    assert.equal((await ask("hello")).text, "second\n");
    const { stdout } = await fn(["describe", "hello"]);
    assert.match(stdout, /hello-00002 +100% [^]*hello-00001 +0%/);
  });

  test("a canary takes its share by tag, and all of it in the end", async () => {
    const split = (...traffic: readonly object[]) =>
      cluster.kubectl(["patch", "fn", "hello", "--type", "merge", "-p", JSON.stringify({ spec: { traffic } })]);
    await split(
      { revisionName: "hello-00001", percent: 100 },
      { revisionName: "hello-00002", percent: 0, tag: "next" },
    );
    await eventually("the tag answers", async () => (await ask("next-hello")).text === "second\n");
    await eventually("all else is the first", async () => (await ask("hello", "/?name=a")).text === "Hello, a!\n");

    await split(
      { revisionName: "hello-00001", percent: 50 },
      { revisionName: "hello-00002", percent: 50, tag: "next" },
    );
    const seen = new Set<string>();
    await eventually("both have answered", async () => seen.add((await ask("hello", "/?name=a")).text).size === 2);

    await split({ latestRevision: true, percent: 100, tag: "next" });
    await eventually("the second has all", async () => {
      const answers = await Promise.all(Array.from({ length: 8 }, () => ask("hello")));
      return answers.every(({ text }) => text === "second\n");
    });
  });

  test("code that cannot be built is said with its place, and nothing of it runs", async () => {
    const compiler = await deploy("broken", {
      "index.ts": "export default {\n  fetch() { return new Response(; }\n};\n",
    });
    const missing = await deploy("missing", {
      "index.ts": 'import { Hono } from "hono";\nexport default new Hono();\n',
    });
    const empty = await deploy("empty", { "notes.txt": "nothing" });

    assert.equal(compiler.code, 1);
    assert.match(compiler.stderr, /DoesNotCompile: index\.ts:2:33: Unexpected ";"/);
    assert.match(missing.stderr, /index\.ts:1:22: Could not resolve "hono"[^]*is it a dependency in package\.json/);
    assert.deepEqual([empty.code, /no entrypoint was found/.test(empty.stderr)], [2, true], empty.stderr);
    assert.equal((await cluster.kubectl(["get", "fn", "empty", "--ignore-not-found"])).stdout, "", "nothing is left");
    assert.deepEqual(await condition("broken", "Built").then((built) => [built?.status, built?.reason]), [
      "False",
      "DoesNotCompile",
    ]);
    assert.equal(await pods("broken"), 0);
  });

  test("code that throws when it is loaded fails its revision with its words", async () => {
    const { code, stderr } = await deploy("throws", {
      "index.js": "throw new Error('no settings'); export default () => {};",
    });

    assert.equal(code, 1);
    assert.match(
      stderr,
      /RevisionFailed: Revision "throws-00001" failed with message: Container failed with:[^]*no settings/,
    );
  });

  test("code that never answers, spins, throws or eats memory harms whoever asked it, and no neighbour", async () => {
    const source = {
      "index.js": `const kept = [];
        export default { async fetch(request) {
          const { pathname } = new URL(request.url);
          if (pathname === "/silent") await new Promise((resolve) => setTimeout(resolve, 60_000));
          if (pathname === "/never") return new Promise(() => {});
          if (pathname === "/spin") for (;;);
          if (pathname === "/throw") throw new Error("as asked");
          if (pathname === "/eat") for (;;) kept.push(new Uint8Array(1 << 20).fill(1));
          if (pathname === "/print") for (let i = 0; i < 3000; i++) console.log("x".repeat(1000));
          return new Response("fine\\n");
        } };`,
    };
    const flags = ["--request-timeout", "1", "--memory", "64Mi", "--cpu", "500m", "--min-scale", "1"];
    const titles = ["silent", "spin", "throw", "eat", "print"];
    for (const title of titles) assert.equal((await deploy(title, source, ...flags)).stderr, "", title);

    const answers = await Promise.all(titles.map((title) => ask(title, `/${title}`)));
    const neighbour = await ask("throw");
    const statuses = Object.fromEntries(titles.map((title, index) => [title, answers[index]?.status]));

    assert.deepEqual(
      { ...statuses, eat: undefined },
      { silent: 504, spin: 504, throw: 500, eat: undefined, print: 200 },
    );
    assert.ok([500, 502, 503, 504].includes(statuses["eat"] ?? 0), `eating was answered with ${statuses["eat"]}`);
    assert.deepEqual([neighbour.status, neighbour.text], [200, "fine\n"]);
    assert.match(
      (await fn(["logs", "throw"])).stdout,
      /^\[\S+\] Uncaught Error: as asked\n\[\S+\] +at Object\.fetch \(index\.js:7\)\n(?!.* at )/m,
    );
    assert.equal((await ask("silent", "/never")).status, 504, "code that waits for nothing");
    await eventually("both have been told of", async () => {
      const said = (await fn(["logs", "silent"])).stdout;
      assert.doesNotMatch(said, /hung/);
      return said.match(/^\[\S+\] No answer after 1 s \(timeoutSeconds\): whoever asked was told 504$/gm)?.length === 2;
    });
    await eventually("the memory eater answers again", async () => (await ask("eat")).status === 200);
    assert.match(
      (await fn(["describe", "eat"])).stdout,
      /eat-00001 +OOMKilled +Container "user-container" [^\n]* it took more than its 64Mi of memory/,
    );
  });

  test("whoever asks after one that ate all memory again and again is not kept waiting for a back-off", async () => {
    for (let round = 0; round < 3; round++) {
      await ask("eat", "/eat");
      await eventually("it answers again", async () => (await ask("eat")).status === 200, 20_000);
    }
  });

  test("a missing Secret ends a deployment early, with its name; with the Secret there the same goes well", async () => {
    const source = { "index.js": "export default () => new Response(process.env.WORD);" };
    const { code, stderr, stdout } = await deploy("keyed", source, "--secret", "nosuch");
    await cluster.kubectl(["create", "secret", "generic", "nosuch", "--from-literal=WORD=open"]);
    const again = await deploy("keyed", source, "--secret", "nosuch");

    assert.equal(code, 1);
    assert.match(stdout, /waits: CreateContainerConfigError: secret "nosuch" not found/);
    assert.match(stderr, /CreateContainerConfigError: secret "nosuch" not found\nIt is tried again by itself/);
    assert.deepEqual([again.code, (await ask("keyed")).text], [0, "open"]);
  });

  test("connections that were not allowed do not come about", async () => {
    const source = {
      "index.js": `import { connect } from "node:net";
        const reach = async (url) => { try { return (await fetch(url)).status; } catch { return "refused"; } };
        const open = (host) => new Promise((resolve) => connect(80, host).once("connect", () => resolve("open")).once("error", () => resolve("refused")));
        const hello = "hello.default.svc.cluster.local";
        export default { async fetch() { return Response.json([await reach("http://" + hello), await open(hello)]); } };`,
    };
    const reached = async (title: string, ...flags: readonly string[]) => {
      assert.equal((await deploy(title, source, ...flags.flatMap((host) => ["--allow", host]))).code, 0);
      return JSON.parse((await ask(title)).text) as unknown;
    };

    assert.deepEqual(await reached("all"), [200, "open"]);
    assert.deepEqual(await reached("none", "none"), ["refused", "refused"]);
    assert.deepEqual(await reached("private", "private"), [200, "open"]);
    assert.deepEqual(await reached("public", "public"), ["refused", "refused"]);
    assert.deepEqual(await reached("named", "hello.default.svc.cluster.local"), [200, "refused"]);
    assert.deepEqual(await reached("other", "example.com"), ["refused", "refused"]);
  });

  test("Python runs in a container, asleep and awake", async () => {
    await loadExampleImages(cluster, ["library/python"]);
    await fn(["deploy", "--source", join(examples, "prices"), "--window", "6s"]);
    const [bread, none] = [await ask("prices", "/bread"), await ask("prices", "/gold")];

    assert.deepEqual([bread.status, JSON.parse(bread.text)], [200, { name: "bread", cents: 350 }]);
    assert.equal(none.status, 404);
    assert.match((await fn(["logs", "prices"])).stdout, /^\[[\w-]+\] asked for bread$/m);
  });

  test("silence puts them to sleep, and a request wakes them", async () => {
    await eventually("nobody is left", async () => (await pods("hello")) + (await pods("prices")) === 0);
    const [hello, prices] = await Promise.all([ask("hello"), ask("prices", "/bread")]);

    assert.deepEqual([hello.text, prices.status], ["second\n", 200]);
  });

  test("what is deleted leaves nothing", async () => {
    await fn(["delete", "hello", "spin", "prices"]);

    await eventually("all of it is gone", async () => {
      const { stdout } = await cluster.kubectl(["get", "ksvc,revisions,configmaps,pods", "-o", "name"]);
      return !/\/(hello|spin|prices)-/.test(stdout);
    });
    assert.equal((await ask("hello")).status, 404);
  });
});

function get(address: string, host: string, path: string): Promise<Answer> {
  const startedMs = performance.now();
  return new Promise((resolve, reject) => {
    const asked = request({ host: address, port: 80, path, headers: { host }, agent: false, timeout: 30_000 });
    asked.on("response", (response) => {
      let text = "";
      response.on("data", (piece: Buffer) => (text += String(piece)));
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, text, tookMs: performance.now() - startedMs }),
      );
    });
    asked.on("timeout", () => asked.destroy(new Error("no answer within 30 s")));
    asked.on("error", reject).end();
  });
}
