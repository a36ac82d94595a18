/**
 * Nobody may grant what he does not have: writes to roles and bindings are checked against the writer's own rules, unless he may `escalate` or `bind`.
 * As pkg/registry/rbac/*\/policybased; there it sits in the registry, here it is a validating admission plugin.
 */
import type { ClusterRole, PolicyRule, RoleBinding, RoleRef } from "#api/generated/types/rbac-v1.ts";
import type { KubeObject } from "#apimachinery/meta.ts";
import { forbidden, notFound } from "#apimachinery/status-error.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "#apiserver/admission.ts";
import { groupMasters } from "#apiserver/authentication/well-known.ts";
import type { Authorizer, RequestInfo } from "#apiserver/request.ts";
import { compactRules, describeRule, quoteList, uncoveredRules } from "./policy-rule.ts";
import { aggregate, type RbacAuthorizer } from "./rbac-authorizer.ts";
import type { RbacIndex } from "./rbac-index.ts";

const group = "rbac.authorization.k8s.io";
const fullAuthority: readonly PolicyRule[] = [
  { apiGroups: ["*"], resources: ["*"], verbs: ["*"] },
  { nonResourceURLs: ["*"], verbs: ["*"] },
];

export type EscalationOptions = {
  readonly index: RbacIndex;
  readonly rbac: RbacAuthorizer;
  /** The whole chain: whoever may `escalate` or `bind` by any authorizer may. */
  readonly authorizer: Authorizer;
};

export class EscalationCheck implements AdmissionPlugin {
  readonly name = "RBACEscalationCheck";
  readonly #options: EscalationOptions;

  constructor(options: EscalationOptions) {
    this.#options = options;
  }

  handles({ request, operation, user, object, oldObject }: AdmissionAttributes): boolean {
    if (request.apiGroup !== group || request.subresource !== "" || user.groups.includes(groupMasters)) return false;
    return (
      (operation === "CREATE" || operation === "UPDATE") &&
      object !== undefined &&
      !changesOnlyMetadata(object, oldObject)
    );
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    const { resource } = attributes.request;
    if (resource === "roles" || resource === "clusterroles") return this.#checkRole(attributes);
    if (resource === "rolebindings" || resource === "clusterrolebindings") return this.#checkBinding(attributes);
  }

  async #checkRole(attributes: AdmissionAttributes): Promise<void> {
    if (await this.#may(attributes, "escalate", attributes.request.resource, attributes.request.name)) return;
    const role = attributes.object as ClusterRole;
    this.#confirm(attributes, role.rules ?? []);
    if (hasAggregation(role) || hasAggregation(attributes.oldObject as ClusterRole | undefined)) {
      this.#confirm(attributes, fullAuthority, "must have cluster-admin privileges to use the aggregationRule");
    }
  }

  async #checkBinding(attributes: AdmissionAttributes): Promise<void> {
    const { roleRef } = attributes.object as RoleBinding;
    const resource = roleRef.kind === "Role" ? "roles" : "clusterroles";
    if (await this.#may(attributes, "bind", resource, roleRef.name)) return;
    this.#confirm(attributes, this.#rulesOf(roleRef, attributes.request.namespace, resource));
  }

  #rulesOf(roleRef: RoleRef, namespace: string, resource: string): readonly PolicyRule[] {
    const rules = this.#options.index.findRules(roleRef, namespace);
    if (rules === undefined) throw notFound({ group, resource, name: roleRef.name });
    return rules;
  }

  async #may(attributes: AdmissionAttributes, verb: string, resource: string, name: string): Promise<boolean> {
    const request: RequestInfo = { ...attributes.request, verb, resource, name, apiVersion: "*", subresource: "" };
    return (await this.#options.authorizer.authorize(attributes.user, request)).allowed;
  }

  #confirm({ user, request, object }: AdmissionAttributes, wanted: readonly PolicyRule[], otherwise?: string): void {
    const { rules, errors } = this.#options.rbac.rulesOf(user, request.namespace);
    const missing = uncoveredRules(rules, wanted);
    if (missing.length === 0) return;
    const lines = [...new Set(compactRules(missing).map(describeRule))].sort().join("\n");
    const resolution = errors.length === 0 ? "" : `; resolution errors: [${aggregate(errors)}]`;
    const why = `user ${JSON.stringify(user.name)} (groups=${quoteList(user.groups)}) is attempting to grant RBAC permissions not currently held:\n${lines}${resolution}`;
    throw forbidden(
      { group, resource: request.resource, name: object?.metadata?.name ?? request.name },
      otherwise ?? why,
    );
  }
}

/** Garbage collection must be able to remove finalizers and owners of roles that it could not grant. */
function changesOnlyMetadata(object: KubeObject, oldObject: KubeObject | undefined): boolean {
  if (oldObject === undefined) return false;
  const strip = ({ metadata, ...rest }: KubeObject) => {
    const { ownerReferences: _owners, finalizers: _finalizers, managedFields: _managed, ...others } = metadata ?? {};
    return JSON.stringify([rest, others]);
  };
  return strip(object) === strip(oldObject);
}

function hasAggregation(role: ClusterRole | undefined): boolean {
  return (role?.aggregationRule?.clusterRoleSelectors?.length ?? 0) > 0;
}
