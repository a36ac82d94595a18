/**
 * Nodes write only what is their own: their Node, lease and CSINode, the status of their pods, tokens for their pods. Completes the node authorizer, which cannot see objects.
 * As plugin/pkg/admission/noderestriction.
 */
import { isDeepStrictEqual } from "node:util";
import type { TokenRequest } from "#api/generated/types/authentication-v1.ts";
import type { CSIDriver } from "#api/generated/types/storage-v1.ts";
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod } from "#api/generated/types/core-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { notFound } from "#apimachinery/status-error.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import { nodeNameOf } from "#apiserver/authentication/well-known.ts";
import { objectsUsedBy } from "#apiserver/authorization/pod-references.ts";
import type { Authorizer } from "#apiserver/request.ts";
import type { Client } from "#client/client.ts";
import type { Informer } from "#client/informer.ts";
import { findLive, refuse, synced } from "./admission-tools.ts";
import { checkNodeCertificateRequest } from "./node-certificate-request.ts";
import { forbiddenLabels } from "./node-labels.ts";

const mirrorAnnotation = "kubernetes.io/config.mirror";

export type NodeRestrictionOptions = {
  readonly client: Client;
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly persistentVolumeClaims: Informer<PersistentVolumeClaim>;
  readonly persistentVolumes: Informer<PersistentVolume>;
  readonly csiDrivers: Informer<CSIDriver>;
  readonly authorizer: Authorizer;
};

export class NodeRestrictionPlugin implements AdmissionPlugin {
  readonly name = "NodeRestriction";
  readonly #options: NodeRestrictionOptions;

  constructor(options: NodeRestrictionOptions) {
    this.#options = options;
  }

  handles({ user, operation }: AdmissionAttributes): boolean {
    return operation !== "CONNECT" && nodeNameOf(user) !== undefined;
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    const node = nodeNameOf(attributes.user) as string;
    const { apiGroup, resource } = attributes.request;
    switch (`${apiGroup}/${resource}`) {
      case "/pods":
        return this.#checkPod(node, attributes);
      case "/nodes":
        return checkNode(node, attributes);
      case "/persistentvolumeclaims":
        return checkClaimStatus(node, attributes);
      case "/serviceaccounts":
        return this.#checkToken(node, attributes);
      case "coordination.k8s.io/leases":
        return checkLease(node, attributes);
      case "storage.k8s.io/csinodes":
        return checkOwnName(node, attributes, "can only access CSINode with the same name as the requesting node");
      case "resource.k8s.io/resourceslices":
        return checkResourceSlice(node, attributes);
      case "certificates.k8s.io/certificatesigningrequests":
        return checkNodeCertificateRequest(node, attributes);
    }
  }

  async #checkPod(node: string, attributes: AdmissionAttributes): Promise<void> {
    const { subresource } = attributes.request;
    if (subresource === "status") return checkPodStatus(node, attributes);
    if (subresource === "eviction") return this.#checkEviction(node, attributes);
    if (subresource !== "") {
      throw refuse(
        attributes,
        `unexpected pod subresource ${JSON.stringify(subresource)}, only 'status' and 'eviction' are allowed`,
      );
    }
    if (attributes.operation === "CREATE") return this.#checkMirrorPod(node, attributes);
    const quoted = JSON.stringify(node);
    if (attributes.operation !== "DELETE") {
      throw refuse(
        attributes,
        `unexpected operation ${JSON.stringify(attributes.operation)}, node ${quoted} can only create and delete mirror pods`,
      );
    }
    if ((attributes.oldObject as Pod | undefined)?.spec?.nodeName === node) return;
    throw refuse(attributes, `node ${quoted} can only delete pods with spec.nodeName set to itself`);
  }

  async #checkMirrorPod(node: string, attributes: AdmissionAttributes): Promise<void> {
    const pod = attributes.object as Pod;
    const quoted = JSON.stringify(node);
    const only = (what: string) => refuse(attributes, `node ${quoted} can only create pods with ${what}`);
    const { [mirrorAnnotation]: mirror, ...annotations } = pod.metadata?.annotations ?? {};
    if (mirror === undefined)
      throw refuse(
        attributes,
        `pod does not have "${mirrorAnnotation}" annotation, node ${quoted} can only create mirror pods`,
      );
    if (pod.spec?.nodeName !== node) throw only("spec.nodeName set to itself");
    const owners = pod.metadata?.ownerReferences ?? [];
    if (owners.length > 1) throw only("a single owner reference set to itself");
    const [owner] = owners;
    if (!owner || owner.apiVersion !== "v1" || owner.kind !== "Node" || owner.name !== node)
      throw only("an owner reference set to itself");
    if (!owner.controller) throw only("a controller owner reference set to itself");
    if (owner.blockOwnerDeletion)
      throw refuse(attributes, `node ${quoted} must not set blockOwnerDeletion on an owner reference`);
    const known = (await synced(this.#options.nodes)).find("", node);
    if (!known) throw notFound({ group: "", resource: "nodes", name: node });
    if (owner.uid !== known.metadata?.uid) {
      throw refuse(attributes, `node ${node} UID mismatch: expected ${owner.uid} got ${known.metadata?.uid}`);
    }
    const used = [...objectsUsedBy({ ...pod, metadata: { ...pod.metadata, annotations } })].find(
      (key) => !key.startsWith("pods/"),
    );
    if (used) throw refuse(attributes, `node ${quoted} can not create pods that reference ${used.split("/")[0]}`);
  }

  async #checkEviction(node: string, attributes: AdmissionAttributes): Promise<void> {
    const name = attributes.request.name || attributes.object?.metadata?.name || "";
    const pod = await this.#podOf(attributes.request.namespace, name);
    if (pod.spec?.nodeName !== node)
      throw refuse(attributes, `node ${node} can only evict pods with spec.nodeName set to itself`);
  }

  async #checkToken(node: string, attributes: AdmissionAttributes): Promise<void> {
    if (attributes.operation !== "CREATE" || attributes.request.subresource !== "token") return;
    const { spec } = attributes.object as TokenRequest;
    const ref = spec?.boundObjectRef;
    if (ref?.apiVersion !== "v1" || ref.kind !== "Pod" || !ref.name)
      throw refuse(attributes, "node requested token not bound to a pod");
    if (!ref.uid) throw refuse(attributes, "node requested token with a pod binding without a uid");
    const pod = await this.#podOf(attributes.request.namespace, ref.name);
    if (ref.uid !== pod.metadata?.uid) {
      throw refuse(
        attributes,
        `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
      );
    }
    if (pod.spec?.nodeName !== node)
      throw refuse(attributes, "node requested token bound to a pod scheduled on a different node");
    await this.#checkAudience(attributes, pod, spec?.audiences ?? []);
  }

  async #checkAudience(attributes: AdmissionAttributes, pod: Pod, audiences: readonly string[]): Promise<void> {
    if (audiences.length > 1) throw refuse(attributes, "node may only request 0 or 1 audiences");
    const audience = audiences[0] ?? "";
    if (await this.#usesAudience(pod, audience)) return;
    const request = {
      ...attributes.request,
      verb: "request-serviceaccounts-token-audience",
      resource: audience,
      subresource: "",
    };
    if ((await this.#options.authorizer.authorize(attributes.user, request)).allowed) return;
    const quoted = JSON.stringify(audience);
    throw refuse(
      attributes,
      `audience ${quoted} not found in pod spec volume, ${attributes.user.name} is not authorized to request tokens for this audience`,
    );
  }

  async #usesAudience(pod: Pod, audience: string): Promise<boolean> {
    for (const volume of pod.spec?.volumes ?? []) {
      const tokens = (volume.projected?.sources ?? []).flatMap((source) => source.serviceAccountToken ?? []);
      if (tokens.some((token) => (token.audience ?? "") === audience)) return true;
      const claim =
        volume.persistentVolumeClaim?.claimName ??
        (volume.ephemeral ? `${pod.metadata?.name}-${volume.name}` : undefined);
      const driver =
        volume.csi?.driver ??
        (claim === undefined ? undefined : await this.#driverOf(pod.metadata?.namespace ?? "", claim));
      if (driver === undefined) continue;
      const found = (await synced(this.#options.csiDrivers)).find("", driver);
      if (found?.spec?.tokenRequests?.some((request) => request.audience === audience)) return true;
    }
    return false;
  }

  async #driverOf(namespace: string, claimName: string): Promise<string | undefined> {
    const claim = (await synced(this.#options.persistentVolumeClaims)).find(namespace, claimName);
    const volume = (await synced(this.#options.persistentVolumes)).find("", claim?.spec?.volumeName ?? "");
    return volume?.spec?.csi?.driver;
  }

  /** The pod that a node acts on. The local copy may be a moment behind the node's. */
  async #podOf(namespace: string, name: string): Promise<Pod> {
    const ref = { resource: { group: "", version: "v1", resource: "pods" }, namespace, name };
    const pod =
      (await synced(this.#options.pods)).find(namespace, name) ?? (await findLive<Pod>(this.#options.client, ref));
    if (!pod) throw notFound({ group: "", resource: "pods", name });
    return pod;
  }
}

function checkPodStatus(node: string, attributes: AdmissionAttributes): void {
  const quoted = JSON.stringify(node);
  if (attributes.operation !== "UPDATE")
    throw refuse(attributes, `unexpected operation ${JSON.stringify(attributes.operation)}`);
  const [before, after] = [attributes.oldObject as Pod, attributes.object as Pod];
  if (before.spec?.nodeName !== node) {
    throw refuse(attributes, `node ${quoted} can only update pod status for pods with spec.nodeName set to itself`);
  }
  const isSame = (left: unknown, right: unknown) => isDeepStrictEqual(left ?? {}, right ?? {});
  if (!isSame(before.metadata?.labels, after.metadata?.labels))
    throw refuse(attributes, `node ${quoted} cannot update labels through pod status`);
  if (!isSame(before.status?.resourceClaimStatuses ?? {}, after.status?.resourceClaimStatuses ?? {})) {
    throw refuse(attributes, `node ${quoted} cannot update resource claim statues`);
  }
  if (!isSame(before.status?.extendedResourceClaimStatus, after.status?.extendedResourceClaimStatus)) {
    throw refuse(attributes, `node ${quoted} cannot update extended resource claim status`);
  }
}

function checkNode(node: string, attributes: AdmissionAttributes): void {
  const quoted = JSON.stringify(node);
  const name = attributes.request.name || attributes.object?.metadata?.name || "";
  if (name !== node) throw refuse(attributes, `node ${quoted} is not allowed to modify node ${JSON.stringify(name)}`);
  if (attributes.operation === "DELETE") return;
  const [before, after] = [attributes.oldObject as Node | undefined, attributes.object as Node];
  const labels = forbiddenLabels(after.metadata?.labels, before?.metadata?.labels);
  if (attributes.operation === "CREATE") {
    if (after.spec?.configSource)
      throw refuse(attributes, `node ${quoted} is not allowed to create pods with a non-nil configSource`);
    if (labels.length > 0)
      throw refuse(attributes, `node ${quoted} is not allowed to set the following labels: ${labels.join(", ")}`);
    return;
  }
  if (!isDeepStrictEqual(after.spec?.taints ?? [], before?.spec?.taints ?? []))
    throw refuse(attributes, `node ${quoted} is not allowed to modify taints`);
  if (!isDeepStrictEqual(after.metadata?.ownerReferences ?? [], before?.metadata?.ownerReferences ?? [])) {
    throw refuse(attributes, `node ${quoted} is not allowed to modify ownerReferences`);
  }
  if (labels.length > 0) throw refuse(attributes, `is not allowed to modify labels: ${labels.join(", ")}`);
}

function checkClaimStatus(node: string, attributes: AdmissionAttributes): void {
  if (attributes.request.subresource !== "status") throw refuse(attributes, "may only update PVC status");
  if (attributes.operation !== "UPDATE")
    throw refuse(attributes, `unexpected operation ${JSON.stringify(attributes.operation)}`);
  if (isDeepStrictEqual(withoutResize(attributes.oldObject), withoutResize(attributes.object))) return;
  throw refuse(
    attributes,
    `node ${JSON.stringify(node)} is not allowed to update fields other than status.quantity and status.conditions`,
  );
}

function withoutResize(object: KubeObject | undefined): unknown {
  const { metadata, status, ...rest } = object as PersistentVolumeClaim & {
    status?: Readonly<Record<string, unknown>>;
  };
  const { resourceVersion: _version, managedFields: _managed, ...meta } = metadata ?? {};
  const dropped = ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"];
  const kept = Object.entries(status ?? {}).filter(([key]) => !dropped.includes(key));
  return { ...rest, metadata: meta, status: Object.fromEntries(kept) };
}

function checkLease(node: string, attributes: AdmissionAttributes): void {
  if (attributes.request.namespace !== "kube-node-lease") {
    throw refuse(attributes, 'can only access leases in the "kube-node-lease" system namespace');
  }
  checkOwnName(node, attributes, "can only access node lease with the same name as the requesting node");
}

function checkOwnName(node: string, attributes: AdmissionAttributes, why: string): void {
  const name = attributes.request.name || attributes.object?.metadata?.name || "";
  if (name !== node) throw refuse(attributes, why);
}

function checkResourceSlice(node: string, attributes: AdmissionAttributes): void {
  if (attributes.operation === "UPDATE") return;
  const slice = (attributes.object ?? attributes.oldObject) as
    | { readonly spec?: { readonly nodeName?: string } }
    | undefined;
  if (slice?.spec?.nodeName === node) return;
  const verb = attributes.operation === "CREATE" ? "create" : "delete";
  throw refuse(attributes, `can only ${verb} ResourceSlice with the same NodeName as the requesting node`);
}
