/**
 * Says on each PersistentVolumeClaim that is not bound why it is not. kube-controller-manager's persistent volume binder says the same words; what it does besides, finding and binding volumes, nobody
 * does here yet.
 */
import type { PersistentVolumeClaim } from "#api/generated/types/core-v1.ts";
import { hasReason } from "#apimachinery/status-error.ts";
import { KeyedController } from "#client/controller.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import type { EventInput, EventRecorder } from "#client/event-recorder.ts";
import type { Informer } from "#client/informer.ts";
import { keyOf, splitKey } from "#client/object-store.ts";
import { persistentVolumeClaims } from "#controllers/common/resources.ts";

const storageClasses = { group: "storage.k8s.io", version: "v1", resource: "storageclasses" };
const oldClassAnnotation = "volume.beta.kubernetes.io/storage-class";
/** Events are kept for an hour: a claim that still waits says so again before. */
const repeatMs = 30 * 60_000;

/** The controller. Keys are claims. */
export function createClaimEvents(context: ControllerContext): NamedController {
  return new ClaimEvents(context).controller;
}

class ClaimEvents {
  readonly controller: KeyedController;
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #claims: Informer<PersistentVolumeClaim>;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#events = context.recorderFor("persistentvolume-controller");
    this.controller = new KeyedController(context, {
      name: "persistentvolume-binder-controller",
      reconcile: (key, signal) => this.#reconcile(key, signal),
    });
    this.#claims = this.controller.watch(context.informers.informer({ resource: persistentVolumeClaims }), {
      onAdd: (claim) => this.controller.queue.add(keyOf(claim)),
    });
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<number | void> {
    const { namespace, name } = splitKey(key);
    const claim = this.#claims.lister.find(namespace, name);
    const isWaiting = claim !== undefined && !claim.spec?.volumeName && claim.status?.phase !== "Bound";
    if (!isWaiting || claim.metadata?.deletionTimestamp !== undefined) return;
    this.#events.record(claim, await this.#whyUnbound(claim, signal));
    return repeatMs;
  }

  async #whyUnbound({ metadata, spec }: PersistentVolumeClaim, signal: AbortSignal): Promise<EventInput> {
    const className = metadata?.annotations?.[oldClassAnnotation] ?? spec?.storageClassName ?? "";
    if (className === "") {
      const message = "no persistent volumes available for this claim and no storage class is set";
      return { type: "Normal", reason: "FailedBinding", message };
    }
    const failed = { type: "Warning", reason: "ProvisioningFailed" } as const;
    try {
      await this.#context.client.get({ resource: storageClasses, name: className }, { signal });
      const message = `no volumes are provided yet, by storage class ${JSON.stringify(className)} or any other: see SCOPE.md of nodeless`;
      return { ...failed, message };
    } catch (error) {
      if (!hasReason(error, "NotFound")) throw error;
      return { ...failed, message: `storageclass.storage.k8s.io ${JSON.stringify(className)} not found` };
    }
  }
}
