/**
 * Push to deploy with real Git: the example's site with a preview, what does not build, steps, manifests, who may, and a crash in the middle. All in one cluster.
 */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
import { ask } from "../support/knative.ts";

const hasGit = spawnSync("git", ["--version"]).status === 0;
const skip = !canRunContainers() ? "needs root, conmon and crun or runc" : hasGit ? false : "needs git";
const name = "push-e2e";

type GitAnswer = { readonly text: string; readonly isDone: boolean };

describe("push to deploy", { skip }, () => {
  let cluster: TestCluster;
  let status: ClusterStatus;
  let url: string;
  const work = mkdtempSync(join(tmpdir(), "nl-push-"));
  const site = join(work, "site");
  const kubectl = async (...args: readonly string[]) => (await cluster.kubectl(args)).stdout;
  const git = (folder: string, ...args: readonly string[]): Promise<GitAnswer> => {
    const env = { PATH: process.env["PATH"], HOME: work, GIT_TERMINAL_PROMPT: "0", GIT_CONFIG_NOSYSTEM: "1" };
    const who = ["-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "init.defaultBranch=main"];
    return new Promise((resolve) => {
      execFile("git", [...who, ...args], { cwd: folder, env }, (error, stdout, stderr) =>
        resolve({ text: `${stdout}${stderr}`, isDone: error === null }),
      );
    });
  };
  const commit = async (folder: string, files: Readonly<Record<string, string>>) => {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    await git(folder, "add", "-A");
    await git(folder, "commit", "--quiet", "-m", "something");
    return (await git(folder, "rev-parse", "HEAD")).text.trim();
  };
  const version = async (host: string) =>
    (await ask(status.addresses.nodePorts, { host: `${host}.default.localhost`, path: "/version" })).text;
  const page = (text: string) => `export default () => new Response(${JSON.stringify(`${text}\n`)});\n`;

  before(async () => {
    cluster = await startCluster(name);
    status = JSON.parse((await cluster.nodeless(["status", "--name", name, "-o", "json"])).stdout) as ClusterStatus;
    const { stdout } = await cluster.nodeless(["repo", "create", "site", "--name", name]);
    [url = ""] = /^http\S+$/m.exec(stdout) ?? [];
    cpSync(join(repository, "examples/push/site"), site, { recursive: true });
    await git(site, "init", "--quiet");
    await git(site, "remote", "add", "nodeless", url);
    const ref = { apiVersion: "eventing.knative.dev/v1", kind: "Broker", name: "default" };
    const objects = [
      { apiVersion: ref.apiVersion, kind: "Broker", metadata: { name: "default" } },
      {
        apiVersion: "nodeless.dev/v1alpha1",
        kind: "GitSource",
        metadata: { name: "pushes" },
        spec: { repository: "site", sink: { ref } },
      },
    ];
    const input = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
    await eventually(
      "Eventing takes them",
      async () => (await cluster.kubectl(["apply", "-f", "-"], { input, mayFail: true })).code === 0,
    );
  });
  after(async () => {
    await cluster.remove();
    rmSync(work, { recursive: true, force: true });
  });

  test("a site is deployed by a push, which says how it goes and where it is", async () => {
    await commit(site, {});
    const { text, isDone } = await git(site, "push", "nodeless", "main");

    assert.ok(isDone, text);
    assert.match(text, /remote: {3}Bundling index\.ts[^]*remote: ✓ main is ready: http:\/\/site\.default\.localhost/);
    assert.equal(await version("site"), "one\n");
    assert.match(await kubectl("get", "repo", "site"), /True +main +Deployed/);
  });

  test("another branch is a preview at its own address, and goes with the branch", async () => {
    await git(site, "checkout", "--quiet", "-b", "blue");
    await commit(site, { "index.ts": page("blue") });
    const { text } = await git(site, "push", "nodeless", "blue");

    assert.match(text, /✓ blue is ready: http:\/\/site-blue\.default\.localhost/);
    assert.deepEqual([await version("site-blue"), await version("site")], ["blue\n", "one\n"]);
    assert.ok((await git(site, "push", "nodeless", ":blue")).isDone);
    await eventually("the preview is gone", async () => !(await kubectl("get", "fn")).includes("site-blue"));
    await git(site, "checkout", "--quiet", "main");
  });

  test("what does not compile, or ends at its start, is refused, and what ran before runs on", async () => {
    for (const [code, why] of [
      ['import "./nothing.ts";', /✗ DoesNotCompile: index\.ts:1:8: Could not resolve/],
      ['throw new Error("at start"); export default () => new Response();', /✗ RevisionFailed[^]*at start/],
    ] as const) {
      await commit(site, { "index.ts": code });
      const { text, isDone } = await git(site, "push", "nodeless", "main");

      assert.ok(!isDone);
      assert.match(text, why);
      assert.match(text, /Going back to[^]*pre-receive hook declined/);
      assert.equal(await version("site"), "one\n");
      await git(site, "reset", "--quiet", "--hard", "HEAD^");
    }
    assert.match(await kubectl("get", "repo", "site"), /True +main +Rejected/);
  });

  test("steps are Jobs whose lines are said, and one that fails refuses the push", async () => {
    await loadExampleImages(cluster, ["busybox"]);
    const steps = (command: string) =>
      `steps: [{name: test, image: busybox, commands: ['echo testing $NODELESS_BRANCH', ${command}]}]`;
    await commit(site, { "nodeless.yaml": steps("'exit 3'") });
    const failed = await git(site, "push", "nodeless", "main");
    assert.ok(!failed.isDone);
    assert.match(
      failed.text,
      /remote: {3}testing main[^]*✗ step test failed: exit code 3; kubectl logs -n default job\/site-/,
    );

    await commit(site, { "nodeless.yaml": steps("'grep -q two index.ts'"), "index.ts": page("two") });
    const { text, isDone } = await git(site, "push", "nodeless", "main");
    assert.ok(isDone, text);
    assert.equal(await version("site"), "two\n");
    const job = (await kubectl("get", "job", "-l", "nodeless.dev/step=test", "-o", "name")).split("\n")[0] ?? "";
    assert.match(await kubectl("logs", job), /testing main/);
  });

  test("manifests are applied and pruned, and one that is wrong changes nothing", async () => {
    await cluster.kubectl(["apply", "-f", "-"], {
      input: JSON.stringify({ apiVersion: "nodeless.dev/v1alpha1", kind: "Repository", metadata: { name: "infra" } }),
    });
    const infra = join(work, "infra");
    mkdirSync(infra);
    await git(infra, "init", "--quiet");
    await git(infra, "remote", "add", "nodeless", url.replace("site.git", "infra.git"));
    const map = (title: string) => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${title}}\ndata: {a: b}\n`;
    const kustomization = (...files: readonly string[]) => `namePrefix: my-\nresources: [${files.join(", ")}]\n`;
    await commit(infra, {
      "kustomization.yaml": kustomization("a.yaml", "b.yaml"),
      "a.yaml": map("a"),
      "b.yaml": map("b"),
    });
    const push = () => git(infra, "push", "nodeless", "main");
    await eventually("the repository is there", async () => (await git(infra, "ls-remote", "nodeless")).isDone);
    const maps = async () => await kubectl("get", "cm", "-l", "nodeless.dev/repository=infra", "-o", "name");

    assert.match((await push()).text, /ConfigMap my-a: applied[^]*✓ main is ready/);
    await commit(infra, { "kustomization.yaml": kustomization("a.yaml") });
    assert.match((await push()).text, /ConfigMap my-b: deleted/);
    assert.equal(await maps(), "configmap/my-a\n");
    await commit(infra, {
      "kustomization.yaml": kustomization("a.yaml", "b.yaml"),
      "a.yaml": `${map("a")}colour: red\n`,
    });
    const wrong = await push();
    assert.ok(!wrong.isDone);
    assert.match(wrong.text, /a\.yaml: ConfigMap my-a: [^]*unknown field "colour"/);
    assert.equal(await maps(), "configmap/my-a\n");
  });

  test("who has no token or no right gets no further, and a deployment has the rights of its pusher", async () => {
    await cluster.kubectl(["create", "serviceaccount", "ci"]);
    const token = (await kubectl("create", "token", "ci")).trim();
    const podUrl = await kubectl("get", "repo", "site", "-o", "jsonpath={.status.podUrl}");
    const as = podUrl.replace("//", `//x:${token}@`);

    assert.match((await git(site, "ls-remote", podUrl)).text, /could not read Username/);
    assert.match((await git(site, "ls-remote", podUrl.replace("//", "//x:forged@"))).text, /Authentication failed/);
    assert.match(
      (await git(site, "ls-remote", as)).text,
      /"system:serviceaccount:default:ci" may not get repositories/,
    );
    const rights = ["--verb=get,update", "--resource=repositories.nodeless.dev", "--resource-name=site"];
    await cluster.kubectl(["create", "role", "push", ...rights]);
    await cluster.kubectl(["create", "rolebinding", "push", "--role=push", "--serviceaccount=default:ci"]);
    assert.ok((await git(site, "ls-remote", as)).isDone);
    await commit(site, { "nodeless.yaml": "steps: []", "index.ts": page("three") });
    const { text, isDone } = await git(site, "push", as, "main");
    assert.ok(!isDone);
    assert.match(text, /functions\.nodeless\.dev "site" is forbidden: User "system:serviceaccount:default:ci"/);
    assert.equal(await version("site"), "two\n");
  });

  test("a control plane that is killed in the middle of a push leaves ref and deployment agreeing", async () => {
    await commit(site, { "index.ts": page("killed") });
    const pushing = git(site, "push", "nodeless", "main");
    await eventually("it is deploying", async () => {
      const text = await kubectl("get", "fn", "site", "-o", "jsonpath={.metadata.annotations.nodeless\\.dev/commit}");
      return text === (await git(site, "rev-parse", "HEAD")).text.trim();
    });
    const running = JSON.parse(
      (await cluster.nodeless(["status", "--name", name, "-o", "json"])).stdout,
    ) as ClusterStatus;
    process.kill(controlPlaneOf(running), "SIGKILL");
    const { isDone } = await pushing;

    const agree = async () => {
      const ref = (await git(site, "ls-remote", "nodeless", "refs/heads/main")).text.split("\t")[0] ?? "";
      const path =
        "jsonpath={.metadata.annotations.nodeless\\.dev/commit} {.status.conditions[?(@.type=='Ready')].status}";
      return (await kubectl("get", "fn", "site", "-o", path)) === `${ref} True`;
    };
    await eventually("ref and deployment agree", agree);
    assert.equal(await version("site"), isDone ? "killed\n" : "two\n");
    assert.ok((await git(site, "push", "nodeless", "main")).isDone);
    assert.equal(await version("site"), "killed\n");
  });

  test("each push that was taken is an event, in order, and none that was refused", async () => {
    const { pushes = [] } = JSON.parse(await kubectl("get", "repo", "site", "-o", "jsonpath={.status}")) as {
      readonly pushes?: readonly { readonly branch: string; readonly commit: string }[];
    };
    assert.ok(pushes.length >= 4, JSON.stringify(pushes));
    const tail = ["event", "tail", "--no-follow", "--type", "dev.nodeless.git.push", "-o", "json", "--name", name];
    const told = async () => {
      const lines = (await cluster.nodeless(tail)).stdout.split("\n").filter((line) => line !== "");
      const seen = lines.map((line) => (JSON.parse(line) as { readonly event: Record<string, string> }).event);
      // What is sent again after a crash has the id it had.
      const once = new Map(seen.map((event) => [event["id"], event]));
      return [...once.values()].map((event) => `${event["subject"]} ${event["commit"]}`);
    };
    const wanted = pushes.map(({ branch, commit }) => `${branch} ${commit}`);

    await eventually("all are told", async () => (await told()).length === wanted.length);

    assert.deepEqual(await told(), wanted);
  });
});

function controlPlaneOf(status: ClusterStatus): number {
  const pid = status.processes.find(({ role }) => role === "control-plane")?.pid;
  assert.ok(pid !== undefined);
  return pid;
}
