/**
 * helm 4 with the chart that `helm create` writes, untouched: what people do with their own charts. nginx is made from Debian's package and loaded under its upstream name.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import {
  canRunContainers,
  eventually,
  loadExampleImages,
  type Outcome,
  run,
  startCluster,
  type TestCluster,
} from "../support/cluster.ts";
import { layerProgram } from "../support/kubectl.ts";

const skip = canRunContainers() ? false : "needs root, conmon and crun or runc";

type Release = { readonly revision: number; readonly status: string; readonly description: string };

describe("helm", { skip }, () => {
  let cluster: TestCluster;
  let folder = "";
  let chart = "";
  const helm = (args: string, options: { readonly mayFail?: boolean } = {}): Promise<Outcome> =>
    run(layerProgram("helm"), ["--kube-context", cluster.context, ...args.split(" ")], {
      environment: cluster.environment,
      ...options,
    });
  const kubectl = async (args: string): Promise<string> => (await cluster.kubectl(args.split(" "))).stdout;
  const history = async (name: string): Promise<readonly Release[]> =>
    JSON.parse((await helm(`history ${name} -o json`)).stdout) as readonly Release[];

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "helm-"));
    cluster = await startCluster("helm");
    await loadExampleImages(cluster, ["nginx:1.16.0", "busybox"]);
    chart = join(folder, "web");
    await helm(`create ${chart}`);
  });

  after(async () => {
    await cluster?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  test("install --wait ends when the pod is ready, and server-side apply is what made it", async () => {
    const { stdout } = await helm(`install web ${chart} --wait --timeout 60s`);

    assert.match(stdout, /STATUS: deployed\nREVISION: 1\n/);
    assert.equal(await kubectl("get deployment web -o jsonpath={.status.readyReplicas}"), "1");
    const managers = await kubectl(
      "get deployment web --show-managed-fields -o jsonpath={.metadata.managedFields[*].manager}/{.metadata.managedFields[0].operation}",
    );
    assert.match(managers, /^helm .*\/Apply$/);
  });

  test("list, status, get and history tell of it", async () => {
    assert.match((await helm("list")).stdout, /web\s+default\s+1\s+.*\sdeployed\s+web-0.1.0\s+1.16.0/);
    assert.match((await helm("status web")).stdout, /Get the application URL/);
    assert.match((await helm("status web -o json")).stdout, /"status":"deployed"/);
    assert.match((await helm("get manifest web")).stdout, /kind: Deployment/);
    assert.match((await helm("get hooks web")).stdout, /test-connection/);
    assert.match((await helm("get notes web")).stdout, /NOTES/);
    assert.match((await helm("get values web --all")).stdout, /replicaCount: 1/);
    assert.match((await helm("get metadata web")).stdout, /STATUS: deployed/);
    assert.equal((await history("web")).length, 1);
  });

  test("test runs the chart's own hook against the Service, with its logs", async () => {
    const { stdout } = await helm("test web --timeout 30s --logs", { mayFail: true });

    const pod = await kubectl("describe pod web-test-connection");
    assert.match(stdout, /Phase:\s+Succeeded/, pod);
    assert.match(stdout, /POD LOGS: web-test-connection/);
  });

  test("upgrade changes what the values say, and a dry run changes nothing", async () => {
    const dry = await helm(`upgrade web ${chart} --set replicaCount=3 --dry-run=server`);
    assert.match(dry.stdout, /replicas: 3/);
    assert.equal((await history("web")).length, 1);

    await helm(`upgrade web ${chart} --set replicaCount=2,podLabels.color=blue --wait --timeout 60s`);

    assert.equal(await kubectl("get deployment web -o jsonpath={.status.readyReplicas}"), "2");
    assert.match(await kubectl("get pods -l color=blue -o name"), /^(pod\/web-\S+\n){2}$/);
  });

  test("an upgrade that does not come up is rolled back by itself", async () => {
    const failed = await helm(`upgrade web ${chart} --set image.tag=none --rollback-on-failure --timeout 4s`, {
      mayFail: true,
    });

    assert.equal(failed.code, 1);
    assert.match(failed.stderr, /has been rolled back due to rollback-on-failure being set/);
    const releases = await history("web");
    assert.deepEqual(
      releases.map(({ status }) => status),
      ["superseded", "superseded", "failed", "deployed"],
    );
    assert.equal(releases.at(-1)?.description, "Rollback to 2");
    assert.match(
      await kubectl("get deployment web -o jsonpath={.spec.template.spec.containers[0].image}"),
      /nginx:1.16.0/,
    );
  });

  test("--atomic, as helm 3 called it, does the same to an install: nothing stays", async () => {
    const failed = await helm(`install broken ${chart} --set image.tag=none --atomic --timeout 3s`, { mayFail: true });

    assert.equal(failed.code, 1);
    assert.doesNotMatch((await helm("list")).stdout, /broken/);
    assert.equal(
      await kubectl("get deployment,service,serviceaccount -l app.kubernetes.io/instance=broken -o name"),
      "",
    );
  });

  test("rollback goes back to the first revision", async () => {
    await helm("rollback web 1 --wait --timeout 60s");

    assert.equal(await kubectl("get deployment web -o jsonpath={.spec.replicas}"), "1");
    assert.deepEqual((await history("web")).at(-1)?.description, "Rollback to 1");
    await eventually("the pods of revision 2 go", async () => (await kubectl("get pods -l color=blue -o name")) === "");
  });

  test("a field that somebody else owns is a conflict until it is forced", async () => {
    await cluster.kubectl(["apply", "--server-side", "--force-conflicts", "--field-manager=human", "-f", "-"], {
      input: "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\nspec: {type: NodePort}\n",
    });
    const refused = await helm(`upgrade web ${chart} --set service.type=LoadBalancer`, { mayFail: true });
    assert.match(refused.stderr, /conflict with "human".*\.spec\.type/s);

    await helm(`upgrade web ${chart} --set service.type=LoadBalancer --force-conflicts`);

    assert.equal(await kubectl("get service web -o jsonpath={.spec.type}"), "LoadBalancer");
  });

  test("a release without server-side apply is upgraded by three-way patches", async () => {
    await helm(`install old ${chart} --server-side=false --wait --timeout 60s`);
    await helm(`upgrade old ${chart} --server-side=false --set podAnnotations.a=b --wait --timeout 60s`);

    assert.equal(await kubectl("get deployment old-web -o jsonpath={.spec.template.metadata.annotations.a}"), "b");
    await helm(`upgrade old ${chart} --server-side=true --set podAnnotations.c=d`);
    assert.equal(
      await kubectl("get deployment old-web -o jsonpath={.spec.template.metadata.annotations}"),
      '{"c":"d"}',
    );
  });

  test("a chart with autoscaling, an Ingress and an account of its own is stored as it says", async () => {
    await helm(
      `install full ${chart} --set autoscaling.enabled=true,autoscaling.targetMemoryUtilizationPercentage=70,ingress.enabled=true,ingress.className=nginx,serviceAccount.name=mine,serviceAccount.annotations.team=a`,
    );

    assert.equal(await kubectl("get deployment full-web -o jsonpath={.spec.template.spec.serviceAccountName}"), "mine");
    assert.match(await kubectl("get hpa full-web"), /full-web\s+Deployment\/full-web\s+.*memory: .*70%.*\s1\s+100\s/);
    assert.match(await kubectl("get ingress full-web"), /full-web\s+nginx\s+chart-example.local\s+80/);
    assert.equal(await kubectl("get serviceaccount mine -o jsonpath={.metadata.annotations.team}"), "a");
  });

  test("uninstall --wait takes all of it away, and --keep-history remembers", async () => {
    await helm("uninstall web --wait --timeout 60s --keep-history");
    await helm("uninstall old full --wait --timeout 60s");

    assert.equal((await history("web")).at(-1)?.status, "uninstalled");
    assert.equal((await helm("list -q --deployed")).stdout, "");
    for (const name of ["web", "old", "full"])
      assert.equal(
        await kubectl(`get deployment,replicaset,service,hpa,ingress -l app.kubernetes.io/instance=${name} -o name`),
        "",
      );
  });
});
