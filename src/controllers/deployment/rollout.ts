/**
 * One look at one Deployment: its ReplicaSets as they are, and the steps towards what they should be. Sets and conditions change in it as writes succeed; status is written
 * once, at the end.
 */
import type { Deployment, DeploymentStatus, ReplicaSet } from "#api/generated/types/apps-v1.ts";
import type { PodTemplateSpec } from "#api/generated/types/core-v1.ts";
import type { Clock } from "#component-base/clock.ts";
import { StatusError, hasReason } from "#apimachinery/status-error.ts";
import type { Client } from "#client/client.ts";
import type { EventRecorder } from "#client/event-recorder.ts";
import { ensureDeleted } from "#client/find-object.ts";
import { findCondition } from "#controllers/common/conditions.ts";
import { semanticEqual } from "#apimachinery/semantic-equal.ts";
import { templateHash } from "#controllers/common/hash.ts";
import { controllerReference, isControlledBy } from "#apimachinery/owner-references.ts";
import { isNamespaceTerminating } from "#controllers/common/pods.ts";
import { deployments, replicaSets } from "#controllers/common/resources.ts";
import type { StatusLull } from "#controllers/common/status-lull.ts";
import { keyOf } from "#client/object-store.ts";
import { byAge, desiredReplicasOf, newSetReplicas, sumOf } from "./replicas.ts";
import { annotationsOfNewSet, nextRevision, replicaAnnotations, revisionAnnotation, revisionOf } from "./revisions.ts";
import { awaitedOf, basicStatus, hasProgressDeadline, rolloutStatus, withDeploymentCondition } from "./status.ts";
import type { Conditions } from "./status.ts";

const hashLabel = "pod-template-hash";
const maxNameLength = 253;

export type RolloutOptions = {
  readonly client: Client;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly deployment: Deployment;
  readonly sets: readonly ReplicaSet[];
  /** When the Deployment's status is written. */
  readonly lull: StatusLull;
  readonly signal: AbortSignal;
};

export class Rollout {
  readonly #client: Client;
  readonly #events: EventRecorder;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  /** As it was when the look began: progress is measured against its status. */
  readonly #before: Deployment;
  #deployment: Deployment;
  #sets: readonly ReplicaSet[];
  #conditions: Conditions;
  readonly #lull: StatusLull;
  #againAfterMs: number | undefined;

  constructor(options: RolloutOptions) {
    this.#client = options.client;
    this.#events = options.events;
    this.#clock = options.clock;
    this.#signal = options.signal;
    this.#before = options.deployment;
    this.#deployment = options.deployment;
    this.#sets = [...options.sets].sort(byAge);
    this.#conditions = options.deployment.status?.conditions ?? [];
    this.#lull = options.lull;
  }

  get deployment(): Deployment {
    return this.#deployment;
  }

  /** The oldest set with the Deployment's template; more than one is possible after an upgrade. */
  get newSet(): ReplicaSet | undefined {
    return this.#sets.find((set) => equalIgnoringHash(set.spec?.template, this.#deployment.spec?.template));
  }

  get allSets(): readonly ReplicaSet[] {
    return this.#sets;
  }

  /** All but the new one, oldest first. */
  get oldSets(): readonly ReplicaSet[] {
    const { newSet } = this;
    return this.#sets.filter((set) => set !== newSet);
  }

  get conditions(): Conditions {
    return this.#conditions;
  }

  /** Sets a condition; written with the status. */
  setCondition(condition: {
    readonly type: string;
    readonly status: string;
    readonly reason: string;
    readonly message: string;
  }): void {
    this.#conditions = withDeploymentCondition(this.#conditions, condition, this.#clock.now());
  }

  /** Brings the new set's revision and annotations up to date, if there is a new set. */
  async syncNewSet(): Promise<void> {
    const set = this.newSet;
    if (set === undefined) return;
    const current = set.metadata?.annotations ?? {};
    const annotations = annotationsOfNewSet(this.#deployment, current, nextRevision(this.oldSets));
    const minReadySeconds = this.#deployment.spec?.minReadySeconds ?? 0;
    let synced = set;
    if (!semanticEqual(annotations, current) || (set.spec?.minReadySeconds ?? 0) !== minReadySeconds) {
      synced = await this.#updateSet(set, { annotations, spec: { minReadySeconds } });
    }
    await this.#setRevision(String(revisionOf(synced)));
    if (hasProgressDeadline(this.#deployment) && findCondition(this.#conditions, "Progressing") === undefined) {
      const message = `Found new replica set "${set.metadata?.name}"`;
      this.setCondition({ type: "Progressing", status: "True", reason: "FoundNewReplicaSet", message });
    }
  }

  /** The new set; created when it does not exist. */
  async ensureNewSet(): Promise<ReplicaSet> {
    await this.syncNewSet();
    return this.newSet ?? (await this.#createNewSet());
  }

  async #createNewSet(): Promise<ReplicaSet> {
    const wanted = this.#newSetFor();
    const created = await this.#createOrFind(wanted);
    this.#sets = [...this.#sets.filter((set) => set.metadata?.uid !== created.metadata?.uid), created].sort(byAge);
    await this.#setRevision(String(revisionOf(created)));
    return created;
  }

  #newSetFor(): ReplicaSet {
    const { metadata, spec, status } = this.#deployment;
    const hash = templateHash(spec?.template, status?.collisionCount);
    const labels = { ...spec?.template?.metadata?.labels, [hashLabel]: hash };
    const matchLabels = { ...spec?.selector?.matchLabels, [hashLabel]: hash };
    const annotations = annotationsOfNewSet(this.#deployment, {}, nextRevision(this.#sets));
    return {
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: {
        name: `${(metadata?.name ?? "").slice(0, maxNameLength - 1 - hash.length)}-${hash}`,
        namespace: metadata?.namespace ?? "",
        ownerReferences: [controllerReference(this.#deployment)],
        labels,
        annotations: { ...annotations, ...replicaAnnotations(this.#deployment) },
      },
      spec: {
        replicas: newSetReplicas(this.#deployment, this.#sets, 0),
        minReadySeconds: spec?.minReadySeconds ?? 0,
        selector: { ...spec?.selector, matchLabels },
        template: { ...spec?.template, metadata: { ...spec?.template?.metadata, labels } },
      },
    };
  }

  async #createOrFind(wanted: ReplicaSet): Promise<ReplicaSet> {
    const { namespace = "", name = "" } = wanted.metadata ?? {};
    try {
      const created = await this.#client.create<ReplicaSet>({ resource: replicaSets, namespace }, wanted, {
        signal: this.#signal,
      });
      this.#onCreated(created);
      return created;
    } catch (error) {
      if (hasReason(error, "AlreadyExists")) return await this.#resolveCollision(namespace, name, error);
      if (!isNamespaceTerminating(error) && error instanceof StatusError) await this.#reportFailedCreate(name, error);
      throw error;
    }
  }

  #onCreated(created: ReplicaSet): void {
    const size = desiredReplicasOf(created);
    const name = created.metadata?.name;
    if (size > 0) this.#record("Normal", "ScalingReplicaSet", `Scaled up replica set ${name} from 0 to ${size}`);
    if (!hasProgressDeadline(this.#deployment)) return;
    const message = `Created new replica set "${name}"`;
    this.setCondition({ type: "Progressing", status: "True", reason: "NewReplicaSetCreated", message });
  }

  /** The name is taken: by our own set that the informer has not shown yet, or by one whose template has the same hash. */
  async #resolveCollision(namespace: string, name: string, error: StatusError): Promise<ReplicaSet> {
    const ref = { resource: replicaSets, namespace, name };
    const existing = await this.#client.get<ReplicaSet>(ref, { signal: this.#signal });
    const isSame = equalIgnoringHash(existing.spec?.template, this.#deployment.spec?.template);
    if (isControlledBy(existing, this.#deployment) && isSame) return existing;
    const collisionCount = (this.#deployment.status?.collisionCount ?? 0) + 1;
    await this.#writeStatus({ ...this.#deployment.status, collisionCount });
    throw error;
  }

  async #reportFailedCreate(name: string, error: StatusError): Promise<void> {
    const message = `Failed to create new replica set "${name}": ${error.message}`;
    this.#record("Warning", "ReplicaSetCreateError", message);
    if (!hasProgressDeadline(this.#deployment)) return;
    this.setCondition({ type: "Progressing", status: "False", reason: "ReplicaSetCreateError", message });
    await this.#writeStatus({ ...this.#deployment.status, conditions: this.#conditions });
  }

  /** Scales a set; without `force` only when its size differs. True when the size was changed. */
  async scale(set: ReplicaSet, size: number, options: { readonly force?: boolean } = {}): Promise<boolean> {
    const from = desiredReplicasOf(set);
    const wanted = replicaAnnotations(this.#deployment);
    const current = set.metadata?.annotations ?? {};
    const areAnnotationsCurrent = Object.entries(wanted).every(([name, value]) => current[name] === value);
    if (from === size && (!options.force || areAnnotationsCurrent)) return false;
    await this.#updateSet(set, { annotations: { ...current, ...wanted }, spec: { replicas: size } });
    if (from === size) return false;
    const direction = size > from ? "up" : "down";
    this.#record(
      "Normal",
      "ScalingReplicaSet",
      `Scaled ${direction} replica set ${set.metadata?.name} from ${from} to ${size}`,
    );
    return true;
  }

  async #updateSet(
    set: ReplicaSet,
    change: { readonly annotations: Readonly<Record<string, string>>; readonly spec: object },
  ): Promise<ReplicaSet> {
    const { namespace = "", name = "" } = set.metadata ?? {};
    const next = {
      ...set,
      metadata: { ...set.metadata, annotations: change.annotations },
      spec: { ...set.spec, ...change.spec },
    } as ReplicaSet;
    const updated = await this.#client.update<ReplicaSet>({ resource: replicaSets, namespace, name }, next, {
      signal: this.#signal,
    });
    this.#sets = this.#sets.map((one) => (one === set ? updated : one));
    return updated;
  }

  /** Deletes old, empty sets beyond the history limit, lowest revisions first. */
  async cleanUp(): Promise<void> {
    const limit = this.#deployment.spec?.revisionHistoryLimit ?? 10;
    const old = this.oldSets.filter((set) => set.metadata?.deletionTimestamp === undefined);
    const surplus = [...old].sort((a, b) => revisionOf(a) - revisionOf(b)).slice(0, Math.max(0, old.length - limit));
    for (const set of surplus) {
      const { generation = 0, namespace = "", name = "" } = set.metadata ?? {};
      const isEmpty = (set.status?.replicas ?? 0) === 0 && desiredReplicasOf(set) === 0;
      if (!isEmpty || generation > (set.status?.observedGeneration ?? 0)) continue;
      await ensureDeleted(this.#client, { resource: replicaSets, namespace, name }, { signal: this.#signal });
    }
  }

  /** Writes the status if it changed. `rollout` also judges progress. */
  async writeStatus(how: "rollout" | "scaling"): Promise<DeploymentStatus> {
    const input = {
      deployment: { ...this.#deployment, status: this.#before.status ?? {} },
      conditions: this.#conditions,
      collisionCount: this.#deployment.status?.collisionCount,
      newSet: this.newSet,
      allSets: this.#sets,
      nowMs: this.#clock.now(),
    };
    const status = how === "rollout" ? rolloutStatus(input) : basicStatus(input);
    const key = keyOf(this.#deployment);
    const before = this.#deployment.status;
    if (semanticEqual(withoutZeros(before), withoutZeros(status))) this.#lull.end(key);
    else {
      this.#againAfterMs = this.#lull.leftMs(key, !semanticEqual(awaitedOf(before), awaitedOf(status)));
      if (this.#againAfterMs === undefined) await this.#writeStatus(status);
    }
    return status;
  }

  /** When the status will be written, where it waits. */
  get againAfterMs(): number | undefined {
    return this.#againAfterMs;
  }

  async #writeStatus(status: DeploymentStatus): Promise<void> {
    const { namespace = "", name = "" } = this.#deployment.metadata ?? {};
    const ref = { resource: deployments, namespace, name, subresource: "status" };
    this.#deployment = await this.#client.update<Deployment>(
      ref,
      { ...this.#deployment, status },
      { signal: this.#signal },
    );
  }

  async #setRevision(revision: string): Promise<void> {
    const { namespace = "", name = "", uid, annotations } = this.#deployment.metadata ?? {};
    if (annotations?.[revisionAnnotation] === revision) return;
    const body = { metadata: { uid, annotations: { [revisionAnnotation]: revision } } };
    const ref = { resource: deployments, namespace, name };
    this.#deployment = await this.#client.patch<Deployment>(ref, { type: "merge", body }, { signal: this.#signal });
  }

  /** How many pods all sets ask for. */
  get totalReplicas(): number {
    return sumOf(this.#sets, desiredReplicasOf);
  }

  #record(type: "Normal" | "Warning", reason: string, message: string): void {
    this.#events.record(this.#deployment, { type, reason, message });
  }
}

function equalIgnoringHash(a: PodTemplateSpec | undefined, b: PodTemplateSpec | undefined): boolean {
  return semanticEqual(withoutHash(a), withoutHash(b));
}

function withoutHash(template: PodTemplateSpec | undefined): unknown {
  const { [hashLabel]: _, ...labels } = template?.metadata?.labels ?? {};
  return { ...template, metadata: { ...template?.metadata, labels } };
}

function withoutZeros(status: DeploymentStatus | undefined): object {
  return Object.fromEntries(Object.entries(status ?? {}).filter(([, value]) => value !== 0));
}
