/**
 * What nodes may do: read what their own pods use, write their own Node, lease and pods' status. As plugin/pkg/auth/authorizer/node; what it lets pass here (a node may create pods)
 * the admission plugin NodeRestriction narrows down to the node's own.
 */
import type { PolicyRule } from "#api/generated/types/rbac-v1.ts";
import { parseFieldSelector, requiredFieldValue } from "#apimachinery/field-selector.ts";
import { nodeNameOf } from "#apiserver/authentication/well-known.ts";
import type { Authorizer, Decision, RequestInfo, User } from "#apiserver/request.ts";
import type { Clock } from "#component-base/clock.ts";
import { nodeRulesJson } from "./generated/node-rules.ts";
import type { NodeGraph } from "./node-graph.ts";
import { ruleAllows } from "./policy-rule.ts";

type Context = { readonly fieldSelector?: string };

const yes: Decision = { allowed: true, reason: "" };
/** Longest that the copy of the pods is behind. */
const catchUpMs = 50;
const ownObjectVerbs = ["get", "create", "update", "patch", "delete"];

export class NodeAuthorizer implements Authorizer {
  readonly #graph: NodeGraph;
  readonly #clock: Clock;
  readonly #rules: readonly PolicyRule[];

  constructor(graph: NodeGraph, clock: Clock) {
    this.#graph = graph;
    this.#clock = clock;
    this.#rules = JSON.parse(nodeRulesJson) as readonly PolicyRule[];
  }

  async authorize(user: User, request: RequestInfo, context: Context = {}): Promise<Decision> {
    const node = nodeNameOf(user);
    if (node === undefined) return no("");
    if (!request.isResourceRequest) return this.#byRules(request);
    switch (`${request.apiGroup}/${request.resource}`) {
      case "/secrets":
      case "/configmaps":
        return this.#readUsed(node, request);
      case "/serviceaccounts":
        return request.verb === "get" && request.subresource === ""
          ? this.#readUsed(node, request)
          : this.#createToken(node, request);
      case "/persistentvolumeclaims":
        return request.subresource === "status" ? this.#writeClaimStatus(node, request) : this.#getOne(node, request);
      case "/persistentvolumes":
      case "storage.k8s.io/volumeattachments":
      case "resource.k8s.io/resourceclaims":
        return this.#getOne(node, request);
      case "/pods":
        return this.#pods(node, request, context);
      case "/nodes":
        return nodes(node, request);
      case "coordination.k8s.io/leases":
        return leases(node, request);
      case "storage.k8s.io/csinodes":
        return csiNodes(node, request);
      case "resource.k8s.io/resourceslices":
        return this.#resourceSlices(node, request, context);
      default:
        return this.#byRules(request);
    }
  }

  #byRules(request: RequestInfo): Decision {
    return this.#rules.some((rule) => ruleAllows(rule, request)) ? yes : no("");
  }

  async #related(node: string, request: RequestInfo): Promise<Decision> {
    if (request.name === "") return no("No Object name found");
    // A node may hear of its pod a moment before this copy does, and asks at once for what the pod needs.
    if (!this.#isRelated(node, request)) await this.#graph.nextChange(node, this.#clock, catchUpMs);
    return this.#isRelated(node, request) ? yes : no(`no relationship found between node '${node}' and this object`);
  }

  #isRelated(node: string, { resource, namespace, name }: RequestInfo): boolean {
    if (resource === "persistentvolumes") return this.#graph.isVolumeUsed(node, name);
    if (resource === "volumeattachments") return this.#graph.isAttached(node, "volumeAttachments", name);
    if (resource === "resourceslices") return this.#graph.isAttached(node, "resourceSlices", name);
    return this.#graph.isUsed(node, resource, namespace, name);
  }

  async #readUsed(node: string, request: RequestInfo): Promise<Decision> {
    if (!["get", "list", "watch"].includes(request.verb)) return no("can only read resources of this type");
    if (request.subresource !== "") return no("cannot read subresource");
    if (request.namespace === "") return no("can only read namespaced object of this type");
    return this.#related(node, request);
  }

  async #getOne(node: string, request: RequestInfo): Promise<Decision> {
    if (request.verb !== "get") return no("can only get individual resources of this type");
    if (request.subresource !== "") return no("cannot get subresource");
    return this.#related(node, request);
  }

  async #writeClaimStatus(node: string, request: RequestInfo): Promise<Decision> {
    if (request.verb !== "update" && request.verb !== "patch") return no("can only get/update/patch this type");
    return this.#related(node, request);
  }

  async #createToken(node: string, request: RequestInfo): Promise<Decision> {
    if (request.verb !== "create" || request.name === "")
      return no("can only create tokens for individual service accounts");
    if (request.subresource !== "token") return no("can only create token subresource of serviceaccount");
    return this.#related(node, request);
  }

  async #pods(node: string, request: RequestInfo, context: Context): Promise<Decision> {
    const { verb, subresource } = request;
    if (subresource === "status") return verb === "update" || verb === "patch" ? yes : no("");
    if (subresource === "eviction") return verb === "create" ? yes : no("");
    if (subresource !== "") return no("");
    if (verb === "get") return this.#related(node, request);
    if (verb === "create" || verb === "delete") return yes;
    if (verb !== "list" && verb !== "watch") return no("");
    if (selected(context, "spec.nodeName") === node) return yes;
    if (request.name !== "") return this.#related(node, request);
    return no("can only list/watch pods with spec.nodeName field selector");
  }

  async #resourceSlices(node: string, request: RequestInfo, context: Context): Promise<Decision> {
    if (request.subresource !== "") return no("cannot authorize ResourceSlice subresources");
    if (request.verb === "create") return yes;
    if (["get", "update", "patch", "delete"].includes(request.verb)) return this.#related(node, request);
    if (!["list", "watch", "deletecollection"].includes(request.verb)) {
      return no(
        "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
      );
    }
    if (selected(context, "spec.nodeName") === node) return yes;
    return no("can only list/watch/deletecollection resourceslices with nodeName field selector");
  }
}

function nodes(node: string, request: RequestInfo): Decision {
  const { verb, subresource, name } = request;
  if (subresource === "status") return verb === "update" || verb === "patch" ? yes : no("");
  if (subresource !== "") return no("");
  if (["create", "update", "patch"].includes(verb)) return yes;
  if (!["get", "list", "watch"].includes(verb)) return no("");
  if (name === node) return yes;
  if (name === "") return no(`node '${node}' cannot read all nodes, only its own Node object`);
  return no(`node '${node}' cannot read '${name}', only its own Node object`);
}

function leases(node: string, request: RequestInfo): Decision {
  if (!ownObjectVerbs.includes(request.verb)) return no("can only get, create, update, patch, or delete a node lease");
  if (request.namespace !== "kube-node-lease")
    return no('can only access leases in the "kube-node-lease" system namespace');
  // The name of what is created is in the body: NodeRestriction looks at it.
  if (request.verb !== "create" && request.name !== node)
    return no("can only access node lease with the same name as the requesting node");
  return yes;
}

function csiNodes(node: string, request: RequestInfo): Decision {
  if (!ownObjectVerbs.includes(request.verb)) return no("can only get, create, update, patch, or delete a CSINode");
  if (request.subresource !== "") return no("cannot authorize CSINode subresources");
  if (request.verb !== "create" && request.name !== node)
    return no("can only access CSINode with the same name as the requesting node");
  return yes;
}

function selected({ fieldSelector }: Context, field: string): string | undefined {
  return fieldSelector === undefined ? undefined : requiredFieldValue(parseFieldSelector(fieldSelector), field);
}

function no(reason: string): Decision {
  return { allowed: false, reason };
}
