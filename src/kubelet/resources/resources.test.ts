import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { podOf } from "#kubelet/testing/engine-house.ts";
import { containerResources, podCgroupResources } from "./linux-resources.ts";
import { podRequests } from "./pod-resources.ts";
import { oomScoreAdjOf, qosClassOf } from "./qos.ts";

const sized = (cpu: string, memory: string) => ({ resources: { requests: { cpu, memory }, limits: { cpu, memory } } });

describe("a pod's resources", () => {
  it("are the largest of main containers with sidecars and of any init container", () => {
    const initContainers = [
      { name: "proxy", image: "a", restartPolicy: "Always", resources: { requests: { cpu: "100m" } } },
      { name: "setup", image: "a", resources: { requests: { cpu: "1" } } },
    ];
    const pod = podOf("web", [{ resources: { requests: { cpu: "200m" } } }], {
      initContainers,
      overhead: { cpu: "10m" },
    });
    assert.deepEqual(podRequests(pod), { cpu: 1110 });
  });

  it("become shares, quota and bytes", () => {
    const pod = podOf("web", [sized("500m", "64Mi")]);
    assert.deepEqual(containerResources(pod, pod.spec?.containers[0] ?? { name: "" }), {
      cpuShares: 512,
      cpuQuotaMicroseconds: 50_000,
      cpuPeriodMicroseconds: 100_000,
      memoryLimitBytes: 64 * 2 ** 20,
      memoryRequestBytes: 64 * 2 ** 20,
    });
    const mixed = podOf("mixed", [sized("500m", "64Mi"), { resources: { requests: { cpu: "1" } } }]);
    assert.deepEqual(podCgroupResources(mixed, 100), { cpuShares: 1536, pidsLimit: 100 });
  });
});

describe("quality of service", () => {
  it("is Guaranteed, Burstable or BestEffort", () => {
    assert.equal(qosClassOf(podOf("a", [sized("1", "1Gi")])), "Guaranteed");
    assert.equal(qosClassOf(podOf("b", [sized("1", "1Gi"), {}])), "Burstable");
    assert.equal(qosClassOf(podOf("c", [{ resources: { requests: { cpu: "1" } } }])), "Burstable");
    assert.equal(qosClassOf(podOf("d", [{}])), "BestEffort");
  });

  it("decides who is killed first", () => {
    const score = (container: object) => {
      const pod = podOf("a", [container]);
      return oomScoreAdjOf(pod, pod.spec?.containers[0] ?? { name: "" }, 8 * 2 ** 30);
    };
    assert.equal(score(sized("1", "1Gi")), -997);
    assert.equal(score({}), 1000);
    assert.equal(score({ resources: { requests: { memory: "4Gi" } } }), 500);
    assert.equal(score({ resources: { requests: { cpu: "1" } } }), 999);
  });
});
