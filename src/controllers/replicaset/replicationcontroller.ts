/**
 * The controller of ReplicationControllers: the ReplicaSet's work under the older kind's names.
 */
import type { ReplicationController } from "#api/generated/types/core-v1.ts";
import { nothing, selectorFromLabels } from "#apimachinery/label-selector.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { replicationControllers } from "#controllers/common/resources.ts";
import { ReplicaController } from "./replicaset-controller.ts";

/** The controller of ReplicationControllers. */
export function createReplicationControllerController(context: ControllerContext): NamedController {
  return new ReplicaController<ReplicationController>(context, {
    controllerName: "replicationcontroller-controller",
    component: "replication-controller",
    kind: "ReplicationController",
    resource: replicationControllers,
    selectorOf: (set) => (set.spec?.selector === undefined ? nothing : selectorFromLabels(set.spec.selector)),
    countsTerminating: false,
  }).controller;
}
