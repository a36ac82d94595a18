/**
 * Roles and bindings, arranged so that a user's rules are found without looking at others': bindings by subject and namespace, roles by name. Kept by informers.
 */
import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Role,
  RoleBinding,
  RoleRef,
  Subject,
} from "#api/generated/types/rbac-v1.ts";
import type { User } from "#apiserver/request.ts";
import { serviceAccountUserName } from "#apiserver/authentication/well-known.ts";
import type { InformerFactory } from "#client/informer-factory.ts";
import type { Informer } from "#client/informer.ts";

const group = "rbac.authorization.k8s.io";

/** A binding as it applies to one of its subjects. */
type Grant = { readonly binding: RoleBinding | ClusterRoleBinding; readonly subject: Subject };

/** Rules that a user has through one binding, or why they were not found. */
export type GrantedRules = {
  readonly rules: readonly PolicyRule[];
  /** Says where the rules come from: made only when asked. */
  readonly describe: () => string;
  readonly error?: string;
};

/** Where the index gets its objects from. */
export type RbacInformers = {
  readonly roles: Informer<Role>;
  readonly roleBindings: Informer<RoleBinding>;
  readonly clusterRoles: Informer<ClusterRole>;
  readonly clusterRoleBindings: Informer<ClusterRoleBinding>;
};

/** The four informers that RBAC needs. */
export function rbacInformers(factory: InformerFactory): RbacInformers {
  const of = (resource: string) => factory.informer({ resource: { group, version: "v1", resource } });
  return {
    roles: of("roles"),
    roleBindings: of("rolebindings") as Informer<RoleBinding>,
    clusterRoles: of("clusterroles"),
    clusterRoleBindings: of("clusterrolebindings") as Informer<ClusterRoleBinding>,
  };
}

/** Finds the rules that apply to a user. */
export class RbacIndex {
  readonly #informers: RbacInformers;
  /** Subject ("u:NAME", "g:NAME") → namespace ("" for cluster role bindings) → binding's name → grant. */
  readonly #grants = new Map<string, Map<string, Map<string, Grant>>>();

  #hasSynced = false;

  constructor(informers: RbacInformers) {
    this.#informers = informers;
  }

  /** Follows the informers. The returned function ends that. */
  follow(): () => void {
    const handler = {
      onAdd: (binding: RoleBinding | ClusterRoleBinding) => this.#add(binding),
      onUpdate: (before: RoleBinding | ClusterRoleBinding, after: RoleBinding | ClusterRoleBinding) => {
        this.#remove(before);
        this.#add(after);
      },
      onDelete: (binding: RoleBinding | ClusterRoleBinding) => this.#remove(binding),
    };
    const removers = [
      this.#informers.clusterRoleBindings.addHandler(handler),
      this.#informers.roleBindings.addHandler(handler),
    ];
    return () => {
      for (const remove of removers) remove();
    };
  }

  /** True once all roles and bindings are known. */
  hasSynced(): boolean {
    this.#hasSynced ||= Object.values(this.#informers).every((informer) => informer.hasSynced());
    return this.#hasSynced;
  }

  /** Resolves when {@link hasSynced}. */
  async waitForSync(signal: AbortSignal): Promise<void> {
    await Promise.all(Object.values(this.#informers).map((informer) => informer.waitForSync(signal)));
  }

  /** What applies to the user: in the whole cluster first, then in `namespace`. */
  *rulesOf(user: User, namespace: string): Generator<GrantedRules, void, void> {
    for (const scope of namespace === "" ? [""] : ["", namespace]) {
      for (const grant of this.#grantsOf(user, scope)) yield this.#resolve(grant, scope);
    }
  }

  /** The rules of a role that a binding in `namespace` ("" for cluster role bindings) refers to; undefined when there is none. */
  findRules(roleRef: RoleRef, namespace: string): readonly PolicyRule[] | undefined {
    const role =
      roleRef.kind === "Role"
        ? this.#informers.roles.lister.find(namespace, roleRef.name)
        : this.#informers.clusterRoles.lister.find("", roleRef.name);
    return role === undefined ? undefined : (role.rules ?? []);
  }

  *#grantsOf(user: User, scope: string): Generator<Grant, void, void> {
    const seen = new Set<string>();
    for (const subject of [`u:${user.name}`, ...user.groups.map((name) => `g:${name}`)]) {
      for (const [name, grant] of this.#grants.get(subject)?.get(scope) ?? []) {
        if (seen.has(name)) continue;
        seen.add(name);
        yield grant;
      }
    }
  }

  #resolve(grant: Grant, scope: string): GrantedRules {
    const { roleRef } = grant.binding;
    const rules = this.findRules(roleRef, scope);
    const describe = () => describeGrant(grant, scope);
    if (rules !== undefined) return { rules, describe };
    return {
      rules: [],
      describe,
      error: `${roleRef.kind.toLowerCase()}.${group} ${JSON.stringify(roleRef.name)} not found`,
    };
  }

  #add(binding: RoleBinding | ClusterRoleBinding): void {
    const scope = binding.metadata?.namespace ?? "";
    for (const subject of binding.subjects ?? []) {
      const key = subjectKey(subject, scope);
      if (key === undefined) continue;
      const byScope = getOrMake(this.#grants, key, () => new Map<string, Map<string, Grant>>());
      const byName = getOrMake(byScope, scope, () => new Map<string, Grant>());
      byName.set(binding.metadata?.name ?? "", { binding, subject });
    }
  }

  #remove(binding: RoleBinding | ClusterRoleBinding): void {
    const scope = binding.metadata?.namespace ?? "";
    for (const subject of binding.subjects ?? []) {
      const key = subjectKey(subject, scope);
      const byScope = key === undefined ? undefined : this.#grants.get(key);
      const byName = byScope?.get(scope);
      byName?.delete(binding.metadata?.name ?? "");
      if (byName?.size === 0) byScope?.delete(scope);
      if (key !== undefined && byScope?.size === 0) this.#grants.delete(key);
    }
  }
}

function subjectKey(subject: Subject, scope: string): string | undefined {
  if (subject.kind === "User") return `u:${subject.name}`;
  if (subject.kind === "Group") return `g:${subject.name}`;
  // In a role binding, a service account without namespace is one of the binding's own.
  const namespace = subject.namespace || scope;
  return subject.kind === "ServiceAccount" && namespace !== ""
    ? `u:${serviceAccountUserName(namespace, subject.name)}`
    : undefined;
}

/** As upstream says it; service accounts and role bindings are shown as NAME/NAMESPACE there. */
function describeGrant({ binding, subject }: Grant, scope: string): string {
  const kind = scope === "" ? "ClusterRoleBinding" : "RoleBinding";
  const name = `${binding.metadata?.name}${scope === "" ? "" : `/${scope}`}`;
  const who = subject.kind === "ServiceAccount" ? `${subject.name}/${subject.namespace || scope}` : subject.name;
  const quote = JSON.stringify;
  return `${kind} ${quote(name)} of ${binding.roleRef.kind} ${quote(binding.roleRef.name)} to ${subject.kind} ${quote(who)}`;
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}
