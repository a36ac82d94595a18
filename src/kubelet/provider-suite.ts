/**
 * What every provider of pods must do. An implementation's own test calls {@link providerSuite} with a way to make it; the suite registers node:test cases.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod, PodStatus } from "#api/generated/types/core-v1.ts";
import type { PodProvider, PodRef } from "./provider.ts";

/** A provider made for one test. */
export type ProviderUnderTest = {
  readonly provider: PodProvider;
  /** The image that pods of the suite use. */
  readonly image: string;
  /** What its containers run: until it is stopped. Default the image's own command. */
  readonly command?: readonly string[];
  /** Frees everything, running pods included. */
  readonly close: () => Promise<void>;
};

const never = new AbortController().signal;

/** Registers the cases. `make` is called once a case. */
export function providerSuite(name: string, make: () => Promise<ProviderUnderTest>): void {
  const test = (title: string, body: (subject: Watched) => Promise<void>): void => {
    void it(title, async () => {
      const made = await make();
      try {
        await body(new Watched(made));
      } finally {
        await made.close();
      }
    });
  };

  void describe(`provider ${name}`, () => {
    test("a created pod becomes Running and Ready with an address", async (subject) => {
      const pod = subject.pod("web");

      await subject.provider.createPod(pod, never);

      const status = await subject.until(pod, isReady);
      assert.ok(status.podIP, "a running pod has an IP");
      assert.equal(status.containerStatuses?.[0]?.restartCount, 0);
      assert.equal(status.observedGeneration, 1);
    });

    test("creating a pod that runs already is success and starts nothing twice", async (subject) => {
      const pod = subject.pod("web");
      await subject.provider.createPod(pod, never);
      const first = await subject.until(pod, isReady);

      await subject.provider.createPod(pod, never);

      const again = subject.last(pod) as PodStatus;
      assert.equal(again.containerStatuses?.[0]?.containerID, first.containerStatuses?.[0]?.containerID);
      assert.equal((await subject.provider.listPods()).length, 1);
    });

    test("listPods names what runs, by namespace, name and uid", async (subject) => {
      const pod = subject.pod("web");
      await subject.provider.createPod(pod, never);
      await subject.until(pod, isReady);

      const [known] = await subject.provider.listPods();

      assert.deepEqual(known?.ref, { namespace: "default", name: "web", uid: pod.metadata?.uid });
      assert.equal(known?.status.phase, "Running");
    });

    test("a deleted pod ends with a terminal status before the delete resolves, and is gone", async (subject) => {
      const pod = subject.pod("web");
      await subject.provider.createPod(pod, never);
      await subject.until(pod, isReady);

      await subject.provider.deletePod(subject.ref(pod), 1, never);

      const status = subject.last(pod) as PodStatus;
      assert.ok(status.phase === "Succeeded" || status.phase === "Failed", `phase is ${status.phase}`);
      assert.ok(
        status.containerStatuses?.every((it) => it.state?.terminated),
        "every container has terminated",
      );
      assert.deepEqual(await subject.provider.listPods(), []);
    });

    test("deleting an unknown pod is success", async (subject) => {
      await subject.provider.deletePod({ namespace: "default", name: "ghost", uid: "no-such-uid" }, 1, never);
    });

    test("updating an unknown pod creates it", async (subject) => {
      const pod = subject.pod("late");

      await subject.provider.updatePod(pod, never);

      await subject.until(pod, isReady);
    });

    test("an update is acknowledged by observedGeneration", async (subject) => {
      const pod = subject.pod("web");
      await subject.provider.createPod(pod, never);
      await subject.until(pod, isReady);
      const changed: Pod = { ...pod, metadata: { ...pod.metadata, generation: 2, labels: { a: "b" } } };

      await subject.provider.updatePod(changed, never);

      await subject.until(pod, (status) => status.observedGeneration === 2);
    });

    test("two pods of one name and different uid do not disturb each other", async (subject) => {
      const first = subject.pod("twin");
      await subject.provider.createPod(first, never);
      await subject.until(first, isReady);
      await subject.provider.deletePod(subject.ref(first), 1, never);
      const second = subject.pod("twin");

      await subject.provider.createPod(second, never);

      await subject.until(second, isReady);
      assert.notEqual(subject.ref(first).uid, subject.ref(second).uid);
    });

    test("a pod deleted while it starts leaves nothing behind", async (subject) => {
      const pod = subject.pod("brief");
      await subject.provider.createPod(pod, never);

      await subject.provider.deletePod(subject.ref(pod), 0, never);

      assert.deepEqual(await subject.provider.listPods(), []);
    });
  });
}

function isReady(status: PodStatus): boolean {
  return status.phase === "Running" && status.conditions?.find((it) => it.type === "Ready")?.status === "True";
}

/** The provider with all statuses it told, and ways to wait for one. */
class Watched {
  readonly provider: PodProvider;
  readonly #image: string;
  readonly #command: readonly string[] | undefined;
  readonly #statuses = new Map<string, PodStatus>();
  #waiting: (() => void)[] = [];
  #made = 0;

  constructor({ provider, image, command }: ProviderUnderTest) {
    this.provider = provider;
    this.#image = image;
    this.#command = command;
    provider.onStatus((ref, status) => {
      this.#statuses.set(ref.uid, status);
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  pod(name: string): Pod {
    this.#made += 1;
    return {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { namespace: "default", name, uid: `suite-${process.pid}-${name}-${this.#made}`, generation: 1 },
      spec: {
        containers: [
          {
            name: "main",
            image: this.#image,
            imagePullPolicy: "IfNotPresent",
            ...(this.#command === undefined ? {} : { command: this.#command }),
          },
        ],
        restartPolicy: "Always",
        terminationGracePeriodSeconds: 1,
        automountServiceAccountToken: false,
        enableServiceLinks: false,
      },
      status: { phase: "Pending" },
    };
  }

  ref(pod: Pod): PodRef {
    const { namespace = "", name = "", uid = "" } = pod.metadata ?? {};
    return { namespace, name, uid };
  }

  last(pod: Pod): PodStatus | undefined {
    return this.#statuses.get(pod.metadata?.uid ?? "");
  }

  async until(pod: Pod, holds: (status: PodStatus) => boolean): Promise<PodStatus> {
    const deadline = Date.now() + 20_000;
    for (;;) {
      const status = this.last(pod);
      if (status && holds(status)) return status;
      const wait = Promise.withResolvers<void>();
      this.#waiting.push(wait.resolve);
      const timer = setTimeout(
        () => wait.reject(new Error(`waited in vain: ${JSON.stringify(status)}`)),
        deadline - Date.now(),
      );
      await wait.promise.finally(() => clearTimeout(timer));
    }
  }
}
