/**
 * kubectl 1.27, 1.30, 1.33 and 1.35 on a real cluster: what needs pods that run, a terminal, or time that passes. One body, run for each version; those that the
 * machine does not have are skipped. What kubectl prints of objects alone is in kubectl-transcripts.e2e.ts.
 * Run: node tools/node24.mjs test/e2e/kubectl.e2e.ts (root)
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { ensureLayout } from "../../tools/image-builder/build.ts";
import { canRunContainers, eventually, type Outcome, run, startCluster, type TestCluster } from "../support/cluster.ts";
import { kubectlVersions } from "../support/kubectl.ts";
import { openTerminal, type Terminal } from "../support/terminal.ts";

const files = join(import.meta.dirname, "kubectl/files");
const image = "--image=busybox --image-pull-policy=IfNotPresent";
const only = process.env["KUBECTL"];

describe("kubectl on a cluster", { skip: canRunContainers() ? false : "needs root, conmon and crun or runc" }, () => {
  let cluster: TestCluster;

  before(async () => {
    cluster = await startCluster("kubectl");
    await cluster.nodeless(["image", "load", await ensureLayout("busybox")]);
  });
  after(() => cluster.remove());

  for (const version of ["1.27", "1.30", "1.33", "1.35"].filter((it) => only === undefined || it === only)) {
    const [kubectl] = kubectlVersions([version]);
    const skip = kubectl === undefined && `this machine has no kubectl ${version}`;
    describe(`kubectl ${version}`, { skip }, () => body(() => cluster, version, kubectl?.path ?? ""));
  }
});

function body(clusterOf: () => TestCluster, version: string, path: string): void {
  const minor = Number(version.slice(2));
  const namespace = `k${minor}`;
  let folder = "";
  let environment: NodeJS.ProcessEnv = {};
  const terminals: Terminal[] = [];

  /** Runs a shell line in which `kubectl` is this one, in the namespace. */
  const shell = (line: string, options: { readonly mayFail?: boolean } = {}): Promise<Outcome> =>
    run("bash", ["-c", `kubectl() { "$KUBECTL" "$@"; }\n${line}`], { environment, timeoutMs: 60_000, ...options });
  const stdout = async (line: string): Promise<string> => (await shell(line)).stdout;
  const refused = async (line: string): Promise<string> => {
    const { code, stderr } = await shell(line, { mayFail: true });
    assert.notEqual(code, 0, line);
    return stderr;
  };
  const terminal = (line: string): Terminal => {
    const opened = openTerminal("bash", ["-c", `kubectl() { "$KUBECTL" "$@"; }\n${line}`], environment);
    terminals.push(opened);
    return opened;
  };
  const deleted = (what: string): string =>
    `${what.replace(/(\S+)$/, '"$1"')} deleted${minor >= 34 ? ` from ${namespace} namespace` : ""}\n`;

  before(async () => {
    const cluster = clusterOf();
    folder = mkdtempSync(join(tmpdir(), "nodeless-kubectl-"));
    const kubeconfig = join(folder, "kubeconfig");
    writeFileSync(kubeconfig, readFileSync(cluster.kubeconfig));
    const home = join(folder, "home");
    mkdirSync(home);
    const search = `${folder}:${process.env["PATH"]}`;
    environment = { ...cluster.environment, KUBECTL: path, KUBECONFIG: kubeconfig, HOME: home, PATH: search };
    await shell(`kubectl config use-context ${cluster.context} && kubectl create namespace ${namespace}`);
    await shell(`kubectl config set-context --current --namespace=${namespace}`);
    await eventually("the namespace's account", async () => (await shell("kubectl get sa default")).code === 0);
    await shell(`kubectl apply -f ${join(files, "pods.yaml")}`);
    await shell("kubectl wait --for=condition=Ready pod/ticker pod/shell --timeout=30s");
    await shell("kubectl rollout status deploy web --timeout=30s");
  });

  after(async () => {
    for (const opened of terminals) opened.kill();
    await shell(`kubectl delete namespace ${namespace} --wait=false`, { mayFail: true });
    rmSync(folder, { recursive: true, force: true });
  });

  it("rollout: history, restart, undo, pause, resume", async () => {
    assert.equal(
      await stdout("kubectl rollout history deploy web"),
      "deployment.apps/web \nREVISION  CHANGE-CAUSE\n1         <none>\n\n",
    );
    assert.equal(await stdout("kubectl rollout restart deploy web"), "deployment.apps/web restarted\n");
    assert.match(
      await stdout("kubectl rollout status deploy web --timeout=30s"),
      /deployment "web" successfully rolled out\n$/,
    );
    assert.match(
      await stdout("kubectl rollout history deploy web --revision=2"),
      /^deployment.apps\/web with revision #2\nPod Template:\n {2}Labels:\tapp=web\n\tpod-template-hash=\w+\n/,
    );
    assert.equal(await stdout("kubectl rollout undo deploy web --to-revision=1"), "deployment.apps/web rolled back\n");
    await shell("kubectl rollout status deploy web --timeout=30s");
    assert.match(await stdout("kubectl rollout history deploy web"), /\n2 {9}<none>\n3 {9}<none>\n\n$/);
    assert.equal(await stdout("kubectl rollout pause deploy web"), "deployment.apps/web paused\n");
    assert.match(await refused("kubectl rollout restart deploy web"), /can't restart paused deployment/);
    assert.equal(await stdout("kubectl rollout resume deploy web"), "deployment.apps/web resumed\n");
  });

  it("scale and wait, for a value, a condition, a deletion", async () => {
    assert.equal(await stdout("kubectl scale deploy web --replicas=1"), "deployment.apps/web scaled\n");
    assert.equal(
      await stdout("kubectl wait --for=jsonpath='{.status.readyReplicas}'=1 deploy/web --timeout=30s"),
      "deployment.apps/web condition met\n",
    );
    assert.equal(
      await stdout("kubectl wait --for=condition=Available deploy/web"),
      "deployment.apps/web condition met\n",
    );
    await shell(`kubectl run gone ${image} --restart=Never -- true`);
    await shell("kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod/gone --timeout=30s");
    const waiting = shell("kubectl wait --for=delete pod/gone --timeout=30s");
    assert.equal(await stdout("kubectl delete pod gone"), deleted("pod gone"));
    assert.equal((await waiting).code, 0);
    assert.match(await refused("kubectl wait --for=condition=No pod/ticker --timeout=100ms"), /timed out waiting/);
  });

  it("get -w says what happens, with the kind of event", async () => {
    const watching = terminal("kubectl get pods -l 'app!=web' -w --output-watch-events --no-headers");
    await watching.shows(/ADDED +ticker/); // from here on it hears of everything
    await shell(`kubectl run seen ${image} --restart=Never -- true`);
    await watching.shows(/ADDED +seen +0\/1 +Pending[^]*MODIFIED +seen +0\/1 +Completed/);
    await shell("kubectl delete pod seen");
    await watching.shows(/DELETED +seen +0\/1 +Completed/);
    watching.type("\x03");
    await watching.ended;
  });

  it("exec: output, errors, code; in a terminal with its size, keys and end", async () => {
    assert.deepEqual(await shell("kubectl exec ticker -- sh -c 'echo out; echo err >&2; exit 3'", { mayFail: true }), {
      code: 3,
      stdout: "out\n",
      stderr: "err\ncommand terminated with exit code 3\n",
    });
    assert.equal(await stdout("echo in | kubectl exec -i ticker -- cat"), "in\n");
    const shown = terminal("kubectl exec -it ticker -- sh; echo code-$?");
    await shown.shows(/# /);
    shown.type("stty size\r");
    await shown.shows(/24 100/);
    shown.resize(80, 30);
    await eventually("the new size", async () => {
      shown.type("stty size\r");
      return shown.shows(/30 80/, 500).catch(() => false as const);
    });
    shown.type("sleep 1000\r");
    await shown.shows(/sleep 1000\r\n/);
    // The shell may not have handed the terminal to it yet; and a terminal forgets what was typed together with the key.
    await eventually("the key's effect", async () => {
      shown.type("\x03");
      return shown.shows(/\^C[^]*# /, 500).catch(() => false as const);
    });
    shown.type("echo after-$?\r");
    await shown.shows(/after-130/);
    shown.type("exit 7\r");
    await shown.shows(/code-7/);
    await shown.ended;
    assert.match(await refused("kubectl exec ticker -- nothere"), /nothere/);
    assert.match(
      await refused("kubectl exec ticker -c nope -- ls"),
      /container (not found \("nope"\)|nope is not valid for pod ticker)/,
    );
  });

  it("attach: what a terminal's shell shows and is told", async () => {
    const shown = terminal("kubectl attach -it shell");
    await shown.shows(/If you don't see a command prompt, try pressing enter\./);
    await eventually("a prompt", async () => {
      shown.type("\r");
      return shown.shows(/# /, 500).catch(() => false as const);
    });
    shown.type("stty size; echo said-$((40+2))\r");
    await shown.shows(/24 100\r\nsaid-42/);
    const following = terminal("kubectl attach ticker");
    await following.shows(/tick \d+\r?\n/);
    following.type("\x03");
    await following.ended;
  });

  it("run -it --rm gives the container's code and leaves nothing", async () => {
    const shown = terminal(
      `kubectl run once -it --rm ${image} --restart=Never -- sh -c 'read x; echo got-$x; exit 4'; echo code-$?`,
    );
    await shown.shows(/If you don't see a command prompt/);
    shown.type("this\r");
    await shown.shows(/got-this[^]*pod "once" deleted[^]*code-4/);
    assert.match(await refused("kubectl get pod once"), /pods "once" not found/);
  });

  it("debug: an ephemeral container beside the target, a copy, a node", async () => {
    const beside = terminal(`kubectl debug ticker -it ${image} --target=main`);
    await beside.shows(/Targeting container "main"[^]*# /);
    beside.type("ps\r");
    await beside.shows(/tick \$i/);
    beside.type("exit\r");
    await beside.shows(/the ephemeral container will not be restarted/);
    const copy = terminal(`kubectl debug ticker -it ${image} --copy-to=copy --container=main -- sh`);
    await copy.shows(/# /);
    copy.type("echo copied-$((1+1))\r");
    await copy.shows(/copied-2/);
    copy.kill();
    const node = terminal(`kubectl debug node/kubectl -it ${image}`);
    await node.shows(
      /Creating debugging pod node-debugger-kubectl-\w{5} with container debugger on node kubectl\.[^]*# /,
    );
    node.type("ls -d /host/etc\r");
    await node.shows(/\r\n\/host\/etc/);
    node.kill();
  });

  it("cp, both ways", async () => {
    const local = join(folder, "sent");
    writeFileSync(local, "sent\n");
    await shell(`kubectl cp ${local} ticker:/tmp/sent`);
    assert.equal(await stdout("kubectl exec ticker -c main -- cat /tmp/sent"), "sent\n");
    await shell(`kubectl cp ticker:/tmp/sent ${join(folder, "back")}`);
    assert.equal(readFileSync(join(folder, "back"), "utf8"), "sent\n");
    await shell(`kubectl cp ticker:/nope ${folder}/nothing`, { mayFail: true });
    assert.equal(existsSync(join(folder, "nothing")), false);
  });

  it("expose, port-forward, proxy and get --raw reach the application", async () => {
    assert.equal(await stdout("kubectl expose deploy web --port=80 --target-port=8080"), "service/web exposed\n");
    const raw = `/api/v1/namespaces/${namespace}/services/web:80/proxy/`;
    await eventually(
      "an endpoint",
      async () => (await shell(`kubectl get --raw ${raw}`, { mayFail: true })).stdout === "hello\n",
    );
    const forwarded = await withPort("port-forward svc/web :80", /127\.0\.0\.1:(\d+) -> 8080/, (port) =>
      stdout(`exec 3<>/dev/tcp/127.0.0.1/${port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3`),
    );
    assert.match(forwarded, /hello\n$/);
    const proxied = await withPort("proxy --port=0", /127\.0\.0\.1:(\d+)/, async (port) =>
      (await fetch(`http://127.0.0.1:${port}${raw}`)).text(),
    );
    assert.equal(proxied, "hello\n");
  });

  it("logs: followed, of the container before, with times, of a selector", async () => {
    assert.match(
      await stdout("kubectl logs ticker -c main --tail=1 --timestamps"),
      /^\d{4}-\d\d-\d\dT\S+Z tick \d+\n$/,
    );
    assert.match(
      await stdout("kubectl logs -l app=ticker -c main --prefix --tail=1"),
      /^\[pod\/ticker\/main\] tick \d+\n$/,
    );
    const following = terminal("kubectl logs -f ticker -c main --tail=1");
    await following.shows(/tick \d+\r\n/);
    await shell("kubectl exec ticker -c main -- touch /tmp/end");
    await following.shows(/over\r\n/);
    assert.equal(await following.ended, 0);
    await eventually(
      "the next container",
      async () =>
        (await stdout("kubectl get pod ticker -o jsonpath='{.status.containerStatuses[0].restartCount}'")) !== "0",
    );
    assert.match(await stdout("kubectl logs --previous ticker -c main --tail=1"), /^over\n$/);
    assert.match(await refused("kubectl logs ticker -c nope"), /container nope is not valid for pod ticker/);
  });

  it("edit, with what the editor leaves", async () => {
    assert.equal(
      await stdout("EDITOR='sed -i s/app:.shell/app:\\ edited/' kubectl edit pod shell"),
      "pod/shell edited\n",
    );
    assert.equal(await stdout("kubectl get pod shell -o jsonpath='{.metadata.labels.app}'"), "edited");
    assert.match((await shell("EDITOR=true kubectl edit pod shell")).stderr, /Edit cancelled, no changes made\./);
    assert.match(
      await refused("EDITOR='sed -i s/name:.main/name:\\ other/' kubectl edit pod shell"),
      /pods "shell" is invalid/,
    );
  });

  it("events, describe and top tell of what ran", async () => {
    assert.match(
      await stdout("kubectl events --for pod/ticker"),
      /Normal +Scheduled +Pod\/ticker +Successfully assigned/,
    );
    assert.match(
      await stdout("kubectl describe pod ticker"),
      /Status: +Running[^]*Events:\n {2}Type +Reason +Age +From +Message\n[^]*Started +\S+.* kubelet/,
    );
    assert.match(
      await stdout("kubectl describe node kubectl"),
      /Conditions:[^]*Allocatable:[^]*Non-terminated Pods:[^]*ticker/,
    );
    const top = await eventually("figures", async () => {
      const { code, stdout: text } = await shell("kubectl top pod ticker", { mayFail: true });
      return code === 0 && text;
    });
    assert.match(top, /^NAME +CPU\(cores\) +MEMORY\(bytes\) *\nticker +\d+m +\d+Mi *\n$/);
    assert.match(
      await stdout("kubectl top node"),
      /^NAME +CPU\(cores\) +CPU(%|\(%\)) +MEMORY\(bytes\) +MEMORY(%|\(%\)) *\nkubectl +\d+m +/,
    );
  });

  it("cordon, drain against a disruption budget and without, uncordon", async () => {
    assert.equal(await stdout("kubectl cordon kubectl"), "node/kubectl cordoned\n");
    assert.match(await stdout("kubectl get node kubectl"), /Ready,SchedulingDisabled/);
    await shell("kubectl create pdb web --selector=app=web --min-available=1");
    const drain = "kubectl drain kubectl --ignore-daemonsets --timeout=20s --pod-selector=app=web";
    await eventually(
      "the budget is counted",
      async () => (await stdout("kubectl get pdb web -o jsonpath='{.status.currentHealthy}'")) === "1",
    );
    const refusedDrain = terminal(drain);
    await refusedDrain.shows(
      /will retry after 5s\): Cannot evict pod as it would violate the pod's disruption budget\./,
    );
    refusedDrain.type("\x03"); // it would wait those 5 s
    await refusedDrain.ended;
    assert.equal(await stdout("kubectl delete pdb web"), deleted("poddisruptionbudget.policy web"));
    const drained = await stdout(drain);
    assert.match(drained, /evicting pod k\d+\/web-\w+-\w+\npod\/web-\w+-\w+ evicted\nnode\/kubectl drained\n$/);
    assert.equal(await stdout("kubectl uncordon kubectl"), "node/kubectl uncordoned\n");
    await shell("kubectl rollout status deploy web --timeout=30s");
  });

  it("explain has words, of kinds, fields and deeper", async () => {
    assert.match(
      await stdout("kubectl explain pod"),
      /^KIND: {7}Pod\nVERSION: {4}v1\n\nDESCRIPTION:\n {4}Pod is a collection of/,
    );
    assert.match(
      await stdout("kubectl explain deploy.spec.replicas"),
      /FIELD: replicas <integer>[^]*Number of desired pods/,
    );
    const text = await stdout("kubectl explain pod.spec.containers");
    assert.match(text, /image\t<string>\n {4}Container image name\./);
    assert.doesNotMatch(text, /<no description>/);
    assert.match(
      await stdout("kubectl explain cronjob --recursive"),
      /\n {2}spec\t<CronJobSpec>.*\n {4}concurrencyPolicy\t<string>/,
    );
  });

  it("cluster-info dump, plugins, tokens and who one is", async () => {
    await shell(`kubectl cluster-info dump --namespaces=${namespace} --output-directory=${folder}/dump`);
    assert.ok(existsSync(join(folder, "dump", namespace, "ticker/logs.txt")));
    writeFileSync(join(folder, "kubectl-hello"), "#!/bin/sh\necho plugin says $1\n");
    chmodSync(join(folder, "kubectl-hello"), 0o755);
    assert.equal(await stdout("kubectl hello you"), "plugin says you\n");
    assert.match(await stdout("kubectl plugin list"), /kubectl-hello/);
    const token = (await stdout("kubectl create token default --duration=10m")).trim();
    // 1.27 knows the API's beta version only, which the server no longer has.
    if (minor > 27) {
      const whoami = await stdout(
        `kubectl auth whoami --token=${token} --kubeconfig=<(kubectl config view --minify --raw | grep -v client-)`,
      );
      assert.match(whoami, new RegExp(`Username +system:serviceaccount:${namespace}:default`));
    }
    assert.equal(
      await stdout(`kubectl auth can-i create pods --as=system:serviceaccount:${namespace}:default || true`),
      "no\n",
    );
  });

  it("delete, with each cascade", async () => {
    await shell("kubectl scale deploy web --replicas=1 && kubectl rollout status deploy web --timeout=30s");
    assert.equal(await stdout("kubectl delete deploy web --cascade=orphan"), deleted("deployment.apps web"));
    assert.match(await stdout("kubectl get rs -o name"), /replicaset.apps\/web-/);
    await shell("kubectl delete rs -l app=web --cascade=foreground");
    assert.equal(await stdout("kubectl get pods -l app=web -o name"), "");
    assert.equal(
      await stdout("kubectl delete pod ticker shell --now"),
      `${deleted("pod ticker")}${deleted("pod shell")}`,
    );
  });

  /** Runs kubectl while `use` talks to the port that it names. */
  async function withPort(args: string, named: RegExp, use: (port: string) => Promise<string>): Promise<string> {
    const child: ChildProcess = spawn(path, args.split(" "), { env: environment, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    child.stdout?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    try {
      return await use(await eventually("a port", async () => named.exec(said)?.[1]));
    } finally {
      child.kill();
    }
  }
}
