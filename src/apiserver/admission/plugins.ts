/**
 * The table of admission plugins, in upstream's order.
 */
import type { AdmissionPlugin } from "#apiserver/admission.ts";
import type { ServiceAccountTokens } from "#apiserver/authentication/service-account-tokens.ts";
import { EscalationCheck } from "#apiserver/authorization/escalation.ts";
import { followReferences } from "#apiserver/authorization/pod-references.ts";
import type { RbacAuthorizer } from "#apiserver/authorization/rbac-authorizer.ts";
import type { RbacIndex } from "#apiserver/authorization/rbac-index.ts";
import type { Authorizer } from "#apiserver/request.ts";
import type { RuntimeClass } from "#api/generated/types/node-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import type { Client } from "#client/client.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";
import type { Clock } from "#component-base/clock.ts";
import {
  CertificateApprovalPlugin,
  CertificateSigningPlugin,
  CertificateSubjectRestrictionPlugin,
} from "./certificates.ts";
import { DefaultIngressClassPlugin } from "./default-ingress-class.ts";
import { DefaultStorageClassPlugin } from "./default-storage-class.ts";
import { DefaultTolerationSecondsPlugin } from "./default-toleration-seconds.ts";
import { LimitRangerPlugin } from "./limit-ranger.ts";
import { MutatingAdmissionPolicyPlugin } from "./mutating-admission-policy.ts";
import { NamespaceLifecyclePlugin } from "./namespace-lifecycle.ts";
import { NodeRestrictionPlugin } from "./node-restriction.ts";
import { PackedIsolatesPlugin } from "./packed-isolates.ts";
import { PersistentVolumeClaimResizePlugin } from "./persistent-volume-claim-resize.ts";
import { PodSecurityPlugin } from "./pod-security.ts";
import { PriorityPlugin } from "./priority.ts";
import { ResourceQuotaPlugin } from "./resource-quota.ts";
import { RuntimeClassPlugin } from "./runtime-class.ts";
import { ServiceAccountTokenSecretPlugin } from "./service-account-token-secret.ts";
import { ServiceAccountPlugin } from "./service-account.ts";
import { StorageObjectInUseProtectionPlugin } from "./storage-object-in-use-protection.ts";
import { TaintNodesByConditionPlugin } from "./taint-nodes-by-condition.ts";
import { MutatingWebhookPlugin, ValidatingWebhookPlugin } from "./webhooks.ts";
import { ValidatingAdmissionPolicyPlugin } from "./validating-admission-policy.ts";

export type AdmissionPluginOptions = {
  /** In-process, as system:masters. */
  readonly client: Client;
  readonly informers: InformerFactory;
  readonly authorizer: Authorizer;
  readonly rbac: RbacAuthorizer;
  readonly rbacIndex: RbacIndex;
  readonly clock: Clock;
  readonly serviceAccountTokens: ServiceAccountTokens;
  /** PEM: what clients verify the API server with. */
  readonly rootCa: string;
};

/** All plugins. The informers that they need are asked for at once, so that they start with the factory. */
export function createAdmissionPlugins(options: AdmissionPluginOptions): readonly AdmissionPlugin[] {
  const { client, clock, authorizer, rbac, rbacIndex } = options;
  const core = <T extends KubeObject>(resource: string) => follow<T>(options.informers, "", resource);
  const storage = <T extends KubeObject>(resource: string) => follow<T>(options.informers, "storage.k8s.io", resource);
  const registration = <T extends KubeObject>(resource: string) =>
    follow<T>(options.informers, "admissionregistration.k8s.io", resource);
  const runtimeClasses = follow<RuntimeClass>(options.informers, "node.k8s.io", "runtimeclasses");
  return [
    new NamespaceLifecyclePlugin({ client, clock, namespaces: core("namespaces") }),
    new LimitRangerPlugin(core("limitranges")),
    new ServiceAccountPlugin({ client, clock, serviceAccounts: core("serviceaccounts") }),
    new NodeRestrictionPlugin({
      client,
      authorizer,
      pods: followReferences(options.informers),
      nodes: core("nodes"),
      persistentVolumeClaims: core("persistentvolumeclaims"),
      persistentVolumes: core("persistentvolumes"),
      csiDrivers: storage("csidrivers"),
    }),
    new TaintNodesByConditionPlugin(),
    new PodSecurityPlugin({ client, namespaces: core("namespaces") }),
    new PriorityPlugin({ client, priorityClasses: follow(options.informers, "scheduling.k8s.io", "priorityclasses") }),
    new DefaultTolerationSecondsPlugin(),
    new DefaultStorageClassPlugin(storage("storageclasses")),
    new StorageObjectInUseProtectionPlugin(),
    new PackedIsolatesPlugin({ client, namespaces: core("namespaces"), runtimeClasses }),
    new RuntimeClassPlugin({ client, runtimeClasses }),
    new PersistentVolumeClaimResizePlugin(storage("storageclasses")),
    new DefaultIngressClassPlugin(follow(options.informers, "networking.k8s.io", "ingressclasses")),
    new ServiceAccountTokenSecretPlugin({ client, tokens: options.serviceAccountTokens, rootCa: options.rootCa }),
    new CertificateApprovalPlugin(authorizer),
    new CertificateSigningPlugin(authorizer),
    new CertificateSubjectRestrictionPlugin(),
    new EscalationCheck({ index: rbacIndex, rbac, authorizer }),
    new MutatingAdmissionPolicyPlugin({
      client,
      policies: registration("mutatingadmissionpolicies"),
      bindings: registration("mutatingadmissionpolicybindings"),
      namespaces: core("namespaces"),
    }),
    new MutatingWebhookPlugin({
      client,
      configurations: registration("mutatingwebhookconfigurations"),
      namespaces: core("namespaces"),
    }),
    new ValidatingAdmissionPolicyPlugin({
      client,
      policies: registration("validatingadmissionpolicies"),
      bindings: registration("validatingadmissionpolicybindings"),
      namespaces: core("namespaces"),
    }),
    new ValidatingWebhookPlugin({
      client,
      configurations: registration("validatingwebhookconfigurations"),
      namespaces: core("namespaces"),
    }),
    // Last: it charges what all others let pass.
    new ResourceQuotaPlugin({ client, resourceQuotas: core("resourcequotas") }),
  ];
}

function follow<T extends KubeObject>(informers: InformerFactory, group: string, resource: string): Informer<T> {
  return informers.informer<T>({ resource: { group, version: "v1", resource } });
}
