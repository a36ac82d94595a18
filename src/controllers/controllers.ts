/**
 * All controllers of the control plane, in one table.
 */
import type { KeyPair } from "#component-base/x509.ts";
import { createCertificateSigner } from "./certificates/certificate-signer.ts";
import type { ControllerContext, NamedController } from "#client/controller.ts";
import { createCronJobController } from "./cronjob/cronjob-controller.ts";
import { createDaemonSetController } from "./daemon/daemonset-controller.ts";
import { createDeploymentController } from "./deployment/deployment-controller.ts";
import { createDisruptionController } from "./disruption/disruption-controller.ts";
import { createEndpointsController } from "./endpointslice/endpoints-controller.ts";
import { createEndpointSliceController } from "./endpointslice/endpointslice-controller.ts";
import { createEndpointSliceMirroringController } from "./endpointslicemirroring/endpointslice-mirroring.ts";
import { createGarbageCollector } from "./garbagecollector/garbage-collector.ts";
import { createJobController } from "./job/job-controller.ts";
import { createNamespaceController } from "./namespace/namespace-controller.ts";
import { createNodeLifecycleController } from "./nodelifecycle/node-lifecycle.ts";
import { createClaimEvents } from "./persistentvolume/claim-events.ts";
import { createClaimProtection, createVolumeProtection } from "./persistentvolume/protection.ts";
import { createPodGarbageCollector } from "./podgc/pod-garbage-collector.ts";
import { createReplicaSetController } from "./replicaset/replicaset-controller.ts";
import { createReplicationControllerController } from "./replicaset/replicationcontroller.ts";
import { createResourceQuotaController } from "./resourcequota/resourcequota-controller.ts";
import { createRootCaPublisher } from "./rootcacertpublisher/rootca-publisher.ts";
import { createServiceAccountController } from "./serviceaccount/serviceaccount-controller.ts";
import { createStatefulSetController } from "./statefulset/statefulset-controller.ts";
import { createTaintEvictionController } from "./tainteviction/taint-eviction.ts";
import { createTtlAfterFinishedController } from "./ttlafterfinished/ttl-after-finished.ts";

/** What the table needs beyond what each controller does. */
export type ControllersOptions = ControllerContext & {
  /** PEM of the authority that signed the API server's certificate. */
  readonly rootCa: string;
  /** Signs approved certificate requests. Absent: nobody does. */
  readonly signingCa?: KeyPair;
};

/** Makes all controllers. The caller starts the informer factory first, then these, all at once, and stops them in any order. */
export function createControllers(options: ControllersOptions): readonly NamedController[] {
  return [
    createDeploymentController(options),
    createReplicaSetController(options),
    createReplicationControllerController(options),
    createStatefulSetController(options),
    createDaemonSetController(options),
    createJobController(options),
    createCronJobController(options),
    createEndpointSliceController(options),
    createEndpointsController(options),
    createEndpointSliceMirroringController(options),
    createDisruptionController(options),
    createNamespaceController(options),
    createNodeLifecycleController(options),
    createTaintEvictionController(options),
    createPodGarbageCollector(options),
    createClaimEvents(options),
    createClaimProtection(options),
    createVolumeProtection(options),
    createTtlAfterFinishedController(options),
    createServiceAccountController(options),
    createResourceQuotaController(options),
    createRootCaPublisher(options, options.rootCa),
    ...(options.signingCa === undefined ? [] : [createCertificateSigner(options, options.signingCa)]),
    // Last: it shares the informers of those before it instead of opening its own.
    createGarbageCollector(options),
  ];
}
