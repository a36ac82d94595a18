import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isWaitedFor, verdictOf, type Watched } from "./readiness.ts";

describe("what was applied", () => {
  const of = (kind: string, status: Watched["status"], spec: Watched["spec"] = {}) =>
    verdictOf(kind, { metadata: { generation: 2 }, spec, status: { observedGeneration: 2, ...status } });

  it("is ready when its replicas are new and there", () => {
    const all = { replicas: 2, updatedReplicas: 2, availableReplicas: 2 };

    assert.ok(of("Deployment.apps", all, { replicas: 2 }).isReady);
    assert.ok(!of("Deployment.apps", { ...all, replicas: 3 }, { replicas: 2 }).isReady);
    assert.ok(!of("Deployment.apps", { ...all, availableReplicas: 1 }, { replicas: 2 }).isReady);
    assert.ok(!of("Deployment.apps", { ...all, observedGeneration: 1 }, { replicas: 2 }).isReady);
    assert.ok(of("StatefulSet.apps", { readyReplicas: 1, currentRevision: "a", updateRevision: "a" }).isReady);
    assert.ok(!of("StatefulSet.apps", { readyReplicas: 1, currentRevision: "a", updateRevision: "b" }).isReady);
    assert.ok(of("DaemonSet.apps", {}).isReady);
    assert.ok(!of("DaemonSet.apps", { desiredNumberScheduled: 1 }).isReady);
  });

  it("will not be ready when it says so", () => {
    const late = { type: "Progressing", status: "False", reason: "ProgressDeadlineExceeded", message: "too late" };
    const verdicts = [
      of("Deployment.apps", { conditions: [late] }),
      of("Job.batch", {
        conditions: [{ type: "Failed", status: "True", reason: "ProgressDeadlineExceeded", message: "too late" }],
      }),
      of("Function.nodeless.dev", { conditions: [{ ...late, type: "Ready" }] }),
    ];

    for (const verdict of verdicts)
      assert.deepEqual(verdict, { isReady: false, failure: "ProgressDeadlineExceeded: too late", waitsFor: "" });
  });

  it("is not judged by what is said of a Function's code before, while it is built anew", () => {
    const old = { type: "Ready", status: "False", reason: "RevisionFailed", message: "the one before" };
    const building = { type: "Built", status: "Unknown" };
    const verdict = of("Function.nodeless.dev", {
      conditions: [{ type: "SourceReady", status: "True" }, building, old],
    });

    assert.deepEqual(verdict, { isReady: false, waitsFor: "to be built" });
  });

  it("is waited for only where its status says something", () => {
    assert.ok(isWaitedFor("Service.serving.knative.dev") && isWaitedFor("Job.batch"));
    assert.ok(!isWaitedFor("ConfigMap") && !isWaitedFor("Service") && !isWaitedFor("Repository.nodeless.dev"));
  });
});
