/**
 * Pods whose images are in private registries, through kubectl: TLS, passwords, tokens, secrets of the pod and of its service account, mirrors, and what is said when a
 * pull fails. Skipped, with a line, where docker-registry or root is missing.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Event, Pod } from "#api/generated/types/core-v1.ts";
import { ensureLayout } from "../../tools/image-builder/build.ts";
import { canRunContainers, eventually, startCluster, type TestCluster } from "../support/cluster.ts";
import {
  type DockerRegistry,
  findDockerRegistry,
  registryUser,
  startDockerRegistry,
} from "../support/docker-registry.ts";

const skip =
  (!canRunContainers() && "needs root, conmon and crun or runc") ||
  (findDockerRegistry() === undefined && "docker-registry is not there");

describe("pods from private registries", { skip }, () => {
  let cluster: TestCluster;
  let folder: string;
  let withPasswords: DockerRegistry;
  let withTokens: DockerRegistry;
  /** An address of this machine that is not its own loopback, which would be spoken to in the clear. */
  let host: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "nodeless-private-"));
    const file = join(folder, "registries.yaml");
    process.env["NODELESS_REGISTRIES"] = file;
    cluster = await startCluster("registries");
    const found = await cluster.kubectl(["get", "nodes", "-o", "jsonpath={.items[0].status.addresses[0].address}"]);
    host = found.stdout;
    [withPasswords, withTokens] = await Promise.all([
      startDockerRegistry({ host, access: "passwords" }),
      startDockerRegistry({ host, access: "tokens" }),
    ]);
    writeFileSync(file, registriesFile());
    const layout = await ensureLayout("busybox");
    // An image that nobody has loaded by hand: that would be for everybody.
    await withPasswords.push(layout, "team/app", "v1", `private-${Date.now()}`);
    await withTokens.push(layout, "team/app", "v1");
    await withPasswords.push(layout, "library/mirrored", "v1");
    await secret("good", withPasswords.address, registryUser.password);
    await secret("wrong", withPasswords.address, "guess");
    await secret("token", withTokens.address, registryUser.password);
  });
  after(async () => {
    await cluster?.remove();
    await withPasswords?.stop();
    await withTokens?.stop();
    delete process.env["NODELESS_REGISTRIES"];
    rmSync(folder, { recursive: true, force: true });
  });

  function registriesFile(): string {
    const tls = (registry: DockerRegistry) => ({ tls: { ca_file: registry.caFile } });
    return JSON.stringify({
      mirrors: { "images.invalid": { endpoint: [`https://${withPasswords.address}`] } },
      configs: {
        [withPasswords.address]: tls(withPasswords),
        [withTokens.address]: tls(withTokens),
      },
    });
  }

  async function secret(name: string, server: string, password: string): Promise<void> {
    const flags = [`--docker-server=${server}`, `--docker-username=${registryUser.username}`];
    await cluster.kubectl(["create", "secret", "docker-registry", name, ...flags, `--docker-password=${password}`]);
  }

  async function create(name: string, image: string, spec: object = {}): Promise<void> {
    const containers = [{ name: "main", image, command: ["sleep", "1000"] }];
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name },
      spec: { containers, terminationGracePeriodSeconds: 0, ...spec },
    };
    await cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify(pod) });
  }

  async function waiting(name: string, reason: string): Promise<string> {
    return await eventually(`${name} waits for ${reason}`, async () => {
      const { stdout } = await cluster.kubectl(["get", "pod", name, "-o", "json"]);
      const state = (JSON.parse(stdout) as Pod).status?.containerStatuses?.[0]?.state?.waiting;
      return state?.reason === reason && (state.message ?? " ");
    });
  }

  async function isReady(name: string): Promise<void> {
    await cluster.kubectl(["wait", "--for=condition=Ready", `pod/${name}`, "--timeout=30s"]);
  }

  /** Waits for an event of this text. */
  async function said(name: string, type: string, reason: string, text: RegExp): Promise<void> {
    await eventually(`event ${reason} of ${name} like ${text}`, async () => {
      const { stdout } = await cluster.kubectl([
        "get",
        "events",
        "-o",
        "json",
        `--field-selector=involvedObject.name=${name}`,
      ]);
      const { items } = JSON.parse(stdout) as { items: Event[] };
      return items.some((it) => it.type === type && it.reason === reason && text.test(it.message ?? ""));
    });
  }

  test("the pod's imagePullSecrets open a registry with passwords", async () => {
    await create("own", `${withPasswords.address}/team/app:v1`, { imagePullSecrets: [{ name: "good" }] });

    await isReady("own");
    await said("own", "Normal", "Pulling", /^Pulling image ".*\/team\/app:v1"$/);
    await said(
      "own",
      "Normal",
      "Pulled",
      /^Successfully pulled image ".*" in .*s \(.*s including waiting\)\. Image size: \d+ bytes\.$/,
    );
  });

  test("what a secret opened is not for pods without it, though the image is here", async () => {
    const image = `${withPasswords.address}/team/app:v1`;
    await create("stranger", image, {});

    assert.match(await waiting("stranger", "ErrImagePull"), /failed to authorize: no basic auth credentials$/);
    await create("friend", image, { imagePullSecrets: [{ name: "good" }] });
    await isReady("friend");
    await said("friend", "Normal", "Pulled", /already present on machine and can be accessed by the pod$/);
  });

  test("the service account's imagePullSecrets open a registry with tokens", async () => {
    const account = {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: "puller" },
      imagePullSecrets: [{ name: "token" }],
    };
    await cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify(account) });

    await create("account", `${withTokens.address}/team/app:v1`, { serviceAccountName: "puller" });

    await isReady("account");
  });

  test("a mirror is asked with the machine's certificates and the pod's credentials", async () => {
    const own = { "images.invalid": "good" };
    await secret("mirror", Object.keys(own)[0] ?? "", registryUser.password);
    await create("mirrored", "images.invalid/library/mirrored:v1", { imagePullSecrets: [{ name: "mirror" }] });

    await isReady("mirrored");
  });

  test("a wrong password is told, the container waits with ErrImagePull and then ImagePullBackOff", async () => {
    const image = `${withPasswords.address}/team/app:wrong-password`;
    await create("wrong-password", image, { imagePullSecrets: [{ name: "wrong" }] });

    const denied =
      /^failed to pull and unpack image ".*": failed to resolve reference ".*": pull access denied, repository does not exist or may require authorization: .*401 Unauthorized/;
    assert.match(await waiting("wrong-password", "ErrImagePull"), denied);
    assert.match(
      await waiting("wrong-password", "ImagePullBackOff"),
      /^Back-off pulling image ".*": ErrImagePull: failed to pull and unpack image /,
    );
    await said("wrong-password", "Warning", "Failed", /^Failed to pull image ".*": failed to pull and unpack image /);
    await said("wrong-password", "Warning", "Failed", /^Error: ErrImagePull$/);
    await said("wrong-password", "Normal", "BackOff", /^Back-off pulling image ".*\/team\/app:wrong-password"$/);
    await said("wrong-password", "Warning", "Failed", /^Error: ImagePullBackOff$/);
  });

  test("a secret that is missing is told, and the pull is tried without it", async () => {
    const image = `${withPasswords.address}/team/app:missing-secret`;
    await create("missing-secret", image, { imagePullSecrets: [{ name: "absent" }] });

    assert.match(await waiting("missing-secret", "ErrImagePull"), /failed to authorize: no basic auth credentials$/);
    await said(
      "missing-secret",
      "Warning",
      "FailedToRetrieveImagePullSecret",
      /^Unable to retrieve some image pull secrets \(absent\); attempting to pull the image may not succeed\.$/,
    );

    // Once the secret is there the pod starts by itself.
    await withPasswords.push(await ensureLayout("busybox"), "team/app", "missing-secret");
    await secret("absent", withPasswords.address, registryUser.password);
    await isReady("missing-secret");
  });

  test("an image that is not there, and a registry that is not there, are told apart", async () => {
    const absent = `${withPasswords.address}/team/app:absent`;
    await create("absent-image", absent, { imagePullSecrets: [{ name: "good" }] });
    await create("absent-registry", `${host}:1/team/app:v1`);

    assert.equal(
      await waiting("absent-image", "ErrImagePull"),
      `failed to pull and unpack image "${absent}": failed to resolve reference "${absent}": ${absent}: not found`,
    );
    assert.match(
      await waiting("absent-registry", "ErrImagePull"),
      /failed to do request: Get "https:.*": dial tcp .*:1: connect: connection refused$/,
    );
  });
});
