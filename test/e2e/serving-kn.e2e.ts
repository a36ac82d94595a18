/**
 * Knative's own client, `kn`, as people use it: Services, revisions, routes, domains. Skipped with a line where it is not on the PATH (KN names one elsewhere).
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { ClusterStatus } from "#cli/machine.ts";
import { findProgram } from "#runtime/machine.ts";
import {
  canRunContainers,
  eventually,
  loadExampleImages,
  repository,
  run,
  startCluster,
  type TestCluster,
} from "../support/cluster.ts";
import { ask } from "../support/knative.ts";

const kn = process.env["KN"] ?? findProgram("kn", process.env["PATH"] ?? "");
const skip = !canRunContainers()
  ? "needs root, conmon and crun or runc"
  : kn === undefined
    ? "kn is not installed"
    : false;
const name = "serving-kn";

describe("kn", { skip }, () => {
  let cluster: TestCluster;
  let address: string;
  const client = async (...args: readonly string[]) =>
    (
      await run(kn ?? "", ["--context", cluster.context, "--kubeconfig", cluster.kubeconfig, ...args], {
        environment: cluster.environment,
        timeoutMs: 60_000,
      })
    ).stdout;
  const greeting = async (host: string) => {
    const { text } = await ask(address, { host });
    return (JSON.parse(text) as { envs: Readonly<Record<string, string>> }).envs["GREETING"];
  };

  before(async () => {
    cluster = await startCluster(name, { arguments: ["--serving"] });
    await loadExampleImages(cluster, ["tests/node"]);
    const { stdout } = await cluster.nodeless(["status", "--name", name, "-o", "json"]);
    address = (JSON.parse(stdout) as ClusterStatus).addresses.nodePorts;
    const code = `--from-file=runtime.mjs=${join(repository, "test/e2e/serving/runtime.mjs")}`;
    await cluster.kubectl(["create", "configmap", "programs", code]);
    await eventually("the kinds are there", async () => (await client("service", "list")) !== "");
  });
  after(() => cluster.remove());

  test("service create waits until it answers, and says where", async () => {
    const container = ["--image", "tests/node:24", "--cmd", "node", "--arg", "/code/runtime.mjs"];
    const more = ["--mount", "/code=cm:programs", "--env", "GREETING=hello", "--scale-window", "60s"];
    const said = await eventually("the Service is taken", () =>
      client("service", "create", "hello", ...container, ...more),
    );

    assert.match(
      said,
      /Service 'hello' created to latest revision 'hello-00001' is available at URL:\nhttp:\/\/hello\.default\.localhost/,
    );
    assert.equal(await greeting("hello.default.localhost"), "hello");
  });

  test("service update makes a revision, and splits traffic by tags", async () => {
    const said = await client("service", "update", "hello", "--env", "GREETING=goodbye");
    assert.match(said, /Service 'hello' updated to latest revision 'hello-00002'/);
    assert.equal(await greeting("hello.default.localhost"), "goodbye");

    await client("service", "update", "hello", "--tag", "hello-00001=first", "--traffic", "first=100,@latest=0");
    assert.equal(await greeting("hello.default.localhost"), "hello");
    assert.equal(await greeting("first-hello.default.localhost"), "hello");
  });

  test("list and describe show Services, revisions and routes", async () => {
    assert.match(
      await client("service", "list"),
      /hello +http:\/\/hello\.default\.localhost +hello-00002 +\S+ +\d+ OK \/ \d+ +True/,
    );
    const described = await client("service", "describe", "hello");
    assert.match(described, /URL: +http:\/\/hello\.default\.localhost/);
    assert.match(described, /100% +#first|100% +hello-00001 #first/);
    assert.match(described, /Conditions:[^]*\+\+ Ready/);
    const revisions = await client("revision", "list");
    assert.match(revisions, /hello-00001 +hello +100% +first +1 /);
    assert.match(revisions, /hello-00002 +hello +2 /);
    // The tag was resolved to the image that somebody loaded here.
    assert.match(
      await client("revision", "describe", "hello-00001"),
      /Image: +tests\/node:24|Image: +\S*tests\/node.*\(.*\)/,
    );
    assert.match(await client("route", "list"), /hello +http:\/\/hello\.default\.localhost +True/);
    assert.match(await client("route", "describe", "hello"), /Traffic Targets:/);
  });

  test("a domain is mapped and leads there", async () => {
    await client("domain", "create", "hello.example.org", "--ref", "ksvc:hello");
    await eventually("the domain is ready", async () =>
      /hello\.example\.org .*True/.test(await client("domain", "list")),
    );
    assert.equal(await greeting("hello.example.org"), "hello");
    assert.match(await client("domain", "delete", "hello.example.org"), /deleted/);
  });

  test("service delete leaves nothing", async () => {
    assert.match(await client("service", "delete", "hello", "--wait"), /Service 'hello' successfully deleted/);
    await eventually("no revision is left", async () => /No revisions found/.test(await client("revision", "list")));
  });
});
