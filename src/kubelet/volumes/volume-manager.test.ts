import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, readdir, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "node:test";
import type { Pod, Volume } from "#api/generated/types/core-v1.ts";
import { FakeClock } from "#component-base/clock.ts";
import { silentLogger } from "#component-base/logger.ts";
import { MemoryObjects, never, podOf } from "#kubelet/testing/engine-house.ts";
import type { Mounts } from "./mounts.ts";
import { openInside, openOrMakeInside } from "./safe-path.ts";
import { VolumeManager } from "./volume-manager.ts";

type House = {
  readonly folder: string;
  readonly objects: MemoryObjects;
  readonly manager: VolumeManager;
  readonly calls: string[];
  readonly clock: FakeClock;
};

async function withHouse(body: (house: House) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "volumes-"));
  const objects = new MemoryObjects();
  const clock = new FakeClock();
  const calls: string[] = [];
  const mounts: Mounts = {
    tmpfs: (target, size) => calls.push(`tmpfs ${target.split("/").at(-1)} ${size ?? ""}`.trim()),
    bindDescriptor: (_, target) => calls.push(`bind ${target.slice(folder.length)}`),
    isMounted: () => false,
    unmountBelow: () => {},
  };
  const folders = { root: folder, logs: join(folder, "logs") };
  const allocatable = () => ({ cpu: "4", memory: "8Gi" });
  const manager = new VolumeManager({
    folders,
    objects,
    mounts,
    hostIPs: ["10.0.0.1"],
    allocatable,
    clock,
    logger: silentLogger,
  });
  try {
    await body({ folder, objects, manager, calls, clock });
  } finally {
    await manager.unmount({ namespace: "default", name: "web", uid: "uid-web" });
    await rm(folder, { recursive: true, force: true });
  }
}

function podWith(volume: Omit<Volume, "name">, mount: object = {}, spec: object = {}): Pod {
  const volumeMounts = [{ name: "v", mountPath: "/v", ...mount }];
  return podOf("web", [{ volumeMounts }], { volumes: [{ name: "v", ...volume }], ...spec });
}

const mountsOf = ({ manager }: House, pod: Pod) =>
  manager.containerMounts(pod, pod.spec?.containers[0] ?? { name: "main" }, (name) =>
    name === "POD" ? "web" : undefined,
  );

async function hostPathOf(house: House, pod: Pod): Promise<string> {
  return (await mountsOf(house, pod))[0]?.hostPath ?? "";
}

describe("volumes", () => {
  it("show a ConfigMap's keys as files behind links that change at once", async () => {
    await withHouse(async (house) => {
      const { manager, objects } = house;
      objects.configMaps.set("settings", { data: { a: "1", b: "2" } });
      const pod = podWith({ configMap: { name: "settings" } });

      await manager.mount(pod, never);

      const folder = await hostPathOf(house, pod);
      assert.equal(await readFile(join(folder, "a"), "utf8"), "1");
      assert.equal(await readlink(join(folder, "a")), "..data/a");
      const before = await readlink(join(folder, "..data"));
      objects.configMaps.set("settings", { data: { a: "changed", c: "3" } });
      await manager.mount(pod, never);
      assert.equal(await readFile(join(folder, "a"), "utf8"), "changed");
      assert.deepEqual((await readdir(folder)).filter((name) => !name.startsWith("..")).sort(), ["a", "c"]);
      assert.notEqual(await readlink(join(folder, "..data")), before);
      assert.equal((await readdir(folder)).filter((name) => name.startsWith("..2")).length, 1);
    });
  });

  it("do not touch files that are as they should be", async () => {
    await withHouse(async (house) => {
      const { manager, objects } = house;
      objects.configMaps.set("settings", { data: { a: "1" } });
      const pod = podWith({ configMap: { name: "settings" } });
      await manager.mount(pod, never);
      const folder = await hostPathOf(house, pod);
      const before = await readlink(join(folder, "..data"));

      await manager.mount(pod, never);

      assert.equal(await readlink(join(folder, "..data")), before);
    });
  });

  it("map keys to paths with their own modes, and say which key is missing", async () => {
    await withHouse(async (house) => {
      const { manager, objects } = house;
      objects.secrets.set("keys", { data: { key: Buffer.from("s3cret").toString("base64") } });
      const items = [{ key: "key", path: "deep/down/key.pem", mode: 0o400 }];
      const pod = podWith({ secret: { secretName: "keys", items } });

      await manager.mount(pod, never);

      const file = join(await hostPathOf(house, pod), "deep/down/key.pem");
      assert.equal(await readFile(file, "utf8"), "s3cret");
      assert.equal((await stat(file)).mode & 0o777, 0o400);
      const wrong = podWith({ secret: { secretName: "keys", items: [{ key: "none", path: "x" }] } });
      await assert.rejects(manager.mount(wrong, never), {
        reason: "FailedMount",
        message: 'MountVolume.SetUp failed for volume "v" : references non-existent secret key: none',
      });
    });
  });

  it("wait for objects that are missing, unless they are optional", async () => {
    await withHouse(async ({ manager }) => {
      await assert.rejects(manager.mount(podWith({ configMap: { name: "none" } }), never), {
        message: 'MountVolume.SetUp failed for volume "v" : configmap "none" not found',
      });
      await manager.mount(podWith({ configMap: { name: "none", optional: true } }), never);
    });
  });

  it("project a token, the cluster's certificate and the namespace, off the disk", async () => {
    await withHouse(async (house) => {
      const { manager, objects, calls } = house;
      objects.configMaps.set("kube-root-ca.crt", { data: { "ca.crt": "PEM" } });
      const pod = podWith({
        projected: {
          sources: [
            { serviceAccountToken: { path: "token", expirationSeconds: 3607 } },
            { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
            { downwardAPI: { items: [{ path: "namespace", fieldRef: { fieldPath: "metadata.namespace" } }] } },
          ],
        },
      });

      await manager.mount(pod, never);

      const folder = await hostPathOf(house, pod);
      assert.equal(await readFile(join(folder, "token"), "utf8"), "token-of-web");
      assert.equal(await readFile(join(folder, "ca.crt"), "utf8"), "PEM");
      assert.equal(await readFile(join(folder, "namespace"), "utf8"), "default");
      assert.deepEqual(calls, ["tmpfs v"]);
      assert.equal((await mountsOf(house, pod))[0]?.readOnly, true);
    });
  });

  it("get another token at once when the ones they have are refused, however often that takes", async () => {
    await withHouse(async (house) => {
      const { manager, objects, clock } = house;
      const sources = [{ serviceAccountToken: { path: "token" } }];
      const pod = podWith({ projected: { sources } });
      let answers = ["first"];
      objects.serviceAccountToken = async () => {
        const token = answers.shift();
        if (token === undefined) throw new Error("nobody listens");
        return { token, expiresMs: clock.now() + 3_600_000 };
      };
      await manager.mount(pod, never);
      const token = async () => readFile(join(await hostPathOf(house, pod), "token"), "utf8");
      const until = async (wanted: string) => {
        for (let turns = 0; turns < 1000 && (await token()) !== wanted; turns++) {
          await clock.advance(10);
          await setImmediate();
        }
        assert.equal(await token(), wanted);
      };

      const renewed = manager.renewTokens();
      await clock.advance(0);
      assert.equal(await token(), "first");
      answers = ["second", "third"];

      await until("second");
      assert.equal(await renewed, 1);
      await clock.advance(60_000);
      assert.equal(await token(), "second");
    });
  });

  it("show labels and resources of the pod, and follow them", async () => {
    await withHouse(async (house) => {
      const items = [
        { path: "labels", fieldRef: { fieldPath: "metadata.labels" } },
        { path: "cpu", resourceFieldRef: { containerName: "main", resource: "limits.cpu", divisor: "1m" } },
      ];
      const pod = podWith({ downwardAPI: { items } });
      const labelled = (labels: Record<string, string>): Pod => ({ ...pod, metadata: { ...pod.metadata, labels } });

      await house.manager.mount(labelled({ b: "2", a: 'say "hi"' }), never);

      const folder = await hostPathOf(house, pod);
      assert.equal(await readFile(join(folder, "labels"), "utf8"), 'a="say \\"hi\\""\nb="2"');
      assert.equal(await readFile(join(folder, "cpu"), "utf8"), "4000");
      await house.manager.mount(labelled({ a: "new" }), never);
      assert.equal(await readFile(join(folder, "labels"), "utf8"), 'a="new"');
    });
  });

  it("make empty folders for everyone, in memory with a bound where asked", async () => {
    await withHouse(async (house) => {
      const disk = podWith({ emptyDir: {} });
      await house.manager.mount(disk, never);
      assert.equal((await stat(await hostPathOf(house, disk))).mode & 0o777, 0o777);

      const memory: Pod = podOf("ram", [{}], {
        volumes: [{ name: "m", emptyDir: { medium: "Memory", sizeLimit: "10Mi" } }],
      });
      await house.manager.mount(memory, never);

      assert.deepEqual(house.calls, ["tmpfs m 10485760"]);
    });
  });

  it("check what a hostPath is", async () => {
    await withHouse(async (house) => {
      const path = join(house.folder, "there");
      await house.manager.mount(podWith({ hostPath: { path, type: "DirectoryOrCreate" } }), never);
      assert.ok((await stat(path)).isDirectory());
      await assert.rejects(house.manager.mount(podWith({ hostPath: { path, type: "File" } }), never), {
        message: `MountVolume.SetUp failed for volume "v" : hostPath type check failed: ${path} is not a file`,
      });
    });
  });

  it("say plainly which kinds are not there yet", async () => {
    await withHouse(async ({ manager }) => {
      await assert.rejects(manager.mount(podWith({ persistentVolumeClaim: { claimName: "data" } }), never), {
        reason: "FailedMount",
        message: /PersistentVolumeClaims are not supported on this node yet/,
      });
    });
  });

  it("bind sub-paths, expanded by variables, and make missing folders", async () => {
    await withHouse(async (house) => {
      const pod = podWith({ emptyDir: {} }, { subPathExpr: "logs/$(POD)" });
      await house.manager.mount(pod, never);

      const [mount] = await mountsOf(house, pod);

      assert.equal(mount?.hostPath, join(house.folder, "pods/uid-web/volume-subpaths/v/main/0"));
      assert.deepEqual(house.calls, ["bind /pods/uid-web/volume-subpaths/v/main/0"]);
      const made = await stat(join(house.folder, "pods/uid-web/volumes/kubernetes.io~empty-dir/v/logs/web"));
      assert.equal(made.mode & 0o777, 0o777);
    });
  });

  it("refuse sub-paths whose variables are unknown or that climb out", async () => {
    await withHouse(async (house) => {
      const unknown = podWith({ emptyDir: {} }, { subPathExpr: "$(NOBODY)" });
      await house.manager.mount(unknown, never);
      await assert.rejects(mountsOf(house, unknown), { reason: "CreateContainerConfigError" });

      await assert.rejects(mountsOf(house, podWith({ emptyDir: {} }, { subPath: "../other" })), {
        reason: "CreateContainerConfigError",
      });
    });
  });
});

describe("paths inside volumes", () => {
  it("follow links that stay inside and refuse those that lead out", async () => {
    await withHouse(async ({ folder }) => {
      const volume = join(folder, "volume");
      await mkdir(join(volume, "real"), { recursive: true });
      await writeFile(join(folder, "secret"), "outside");
      await symlink("real", join(volume, "inside"));
      await symlink(join(folder, "secret"), join(volume, "out"));
      await symlink("/", join(volume, "root"));

      const opened = await openInside(volume, "inside");
      assert.ok((await opened.stat()).isDirectory());
      await opened.close();
      await assert.rejects(openInside(volume, "out"), /leaves the volume/);
      await assert.rejects(openOrMakeInside(volume, "root/tmp/made", 0o755), /leaves the volume/);
    });
  });
});
