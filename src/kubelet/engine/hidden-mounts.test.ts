import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod } from "#api/generated/types/core-v1.ts";
import { withoutHiddenMounts, withoutHiddenVolumes } from "./hidden-mounts.ts";

const isHidden = (path: string) => path === "/token";

describe("mounts that nobody sees", () => {
  it("a volume that is mounted only where it is hidden is left out, others stay", () => {
    const pod = podWith(
      [
        { name: "token", mountPath: "/token" },
        { name: "data", mountPath: "/data" },
      ],
      ["token", "data", "unused"],
    );

    const visible = withoutHiddenVolumes(pod, isHidden);

    assert.deepEqual(
      visible.spec?.volumes?.map(({ name }) => name),
      ["data", "unused"],
    );
    assert.deepEqual(
      withoutHiddenMounts(pod.spec?.containers[0] ?? { name: "" }, isHidden).volumeMounts?.map(({ name }) => name),
      ["data"],
    );
  });

  it("a volume that is mounted elsewhere too stays", () => {
    const pod = podWith(
      [
        { name: "token", mountPath: "/token" },
        { name: "token", mountPath: "/bundle" },
      ],
      ["token"],
    );

    assert.equal(withoutHiddenVolumes(pod, isHidden), pod);
  });
});

function podWith(
  volumeMounts: readonly { readonly name: string; readonly mountPath: string }[],
  volumes: readonly string[],
): Pod {
  return {
    spec: {
      containers: [{ name: "main", volumeMounts: [...volumeMounts] }],
      volumes: volumes.map((name) => ({ name })),
    },
  };
}
