/**
 * What the scheduler writes: bindings, the condition PodScheduled and Events, in upstream's words.
 */
import type { Binding, PodCondition } from "#api/generated/types/core-v1.ts";
import type { PodDisruptionBudget } from "#api/generated/types/policy-v1.ts";
import type { Clock } from "#component-base/clock.ts";
import type { Logger } from "#component-base/logger.ts";
import { formatTime } from "#apimachinery/time.ts";
import type { Client } from "#client/client.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import type { PodInfo } from "./pod-info.ts";

const pods = { group: "", version: "v1", resource: "pods" };

export class PodBinder {
  readonly #client: Client;
  readonly #events: EventRecorder;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #abort = new AbortController();

  constructor(options: {
    readonly client: Client;
    readonly events: EventRecorder;
    readonly clock: Clock;
    readonly logger: Logger;
  }) {
    this.#client = options.client;
    this.#events = options.events;
    this.#clock = options.clock;
    this.#logger = options.logger;
  }

  /** Ends requests under way. */
  stop(): void {
    this.#abort.abort(new Error("the scheduler was stopped"));
  }

  /** Binds the pod to the node. Throws what the API server answers. */
  async bind(info: PodInfo, node: string): Promise<void> {
    const { namespace } = info;
    const name = info.pod.metadata?.name ?? "";
    const binding: Binding = {
      apiVersion: "v1",
      kind: "Binding",
      metadata: { name, namespace, uid: info.uid },
      target: { kind: "Node", name: node },
    };
    await this.#client.create({ resource: pods, namespace, name, subresource: "binding" }, binding, {
      signal: this.#abort.signal,
    });
    const message = `Successfully assigned ${info.key} to ${node}`;
    this.#events.record(info.pod, { type: "Normal", reason: "Scheduled", action: "Binding", message });
  }

  /** Says in status and Events that no node would do. Never throws. */
  reportUnschedulable(info: PodInfo, message: string): Promise<void> {
    return this.#report(info, "Unschedulable", message);
  }

  /** Says that something went wrong. Never throws. */
  reportError(info: PodInfo, message: string): Promise<void> {
    return this.#report(info, "SchedulerError", message);
  }

  /** Says that room is being made on the node. Never throws. */
  async nominate(info: PodInfo, node: string): Promise<void> {
    await this.#patchStatus(info, { nominatedNodeName: node });
  }

  /** Evicts a pod in favour of `info`: its condition says why, then it is deleted. */
  async preempt(victim: PodInfo, info: PodInfo, node: string): Promise<void> {
    const condition = {
      type: "DisruptionTarget",
      status: "True",
      reason: "PreemptionByScheduler",
      message: "default-scheduler: preempting to accommodate a higher priority pod",
      lastTransitionTime: formatTime(this.#clock.now()),
    };
    await this.#patchStatus(victim, { conditions: [condition] });
    const { namespace } = victim;
    const name = victim.pod.metadata?.name ?? "";
    try {
      await this.#client.delete(
        { resource: pods, namespace, name },
        { preconditions: { uid: victim.uid }, signal: this.#abort.signal },
      );
      const message = `Preempted by pod ${info.uid} on node ${node}`;
      this.#events.record(victim.pod, { type: "Normal", reason: "Preempted", action: "Preempting", message });
    } catch (error) {
      this.#logger.debug("Pod could not be preempted", { pod: victim.key, error: String(error) });
    }
  }

  /** All PodDisruptionBudgets; none when they cannot be read. */
  async listBudgets(): Promise<readonly PodDisruptionBudget[]> {
    const resource = { group: "policy", version: "v1", resource: "poddisruptionbudgets" };
    try {
      return (await this.#client.list<PodDisruptionBudget>({ resource }, { signal: this.#abort.signal })).items;
    } catch (error) {
      this.#logger.warn("Disruption budgets could not be read", { error: String(error) });
      return [];
    }
  }

  async #report(info: PodInfo, reason: string, message: string): Promise<void> {
    this.#events.record(info.pod, { type: "Warning", reason: "FailedScheduling", action: "Scheduling", message });
    const current = info.pod.status?.conditions?.find((condition) => condition.type === "PodScheduled");
    if (current?.status === "False" && current.reason === reason && current.message === message) return;
    const now = formatTime(this.#clock.now());
    const condition: PodCondition = {
      type: "PodScheduled",
      status: "False",
      reason,
      message,
      lastTransitionTime: current?.status === "False" ? (current.lastTransitionTime ?? now) : now,
    };
    await this.#patchStatus(info, { conditions: [condition] });
  }

  async #patchStatus(info: PodInfo, status: object): Promise<void> {
    const ref = {
      resource: pods,
      namespace: info.namespace,
      name: info.pod.metadata?.name ?? "",
      subresource: "status",
    };
    try {
      const body = { metadata: { uid: info.uid }, status };
      await this.#client.patch(ref, { type: "strategic", body }, { signal: this.#abort.signal });
    } catch (error) {
      // The pod is gone, or the next attempt says it again.
      this.#logger.debug("Pod status could not be written", { pod: info.key, error: String(error) });
    }
  }
}
