/**
 * RoleBindings and ClusterRoleBindings. As pkg/apis/rbac/{v1/defaults.go,validation}.
 */
import type { ClusterRoleBinding, RoleBinding, RoleRef, Subject } from "#api/generated/types/rbac-v1.ts";
import { type FieldError, forbiddenField, invalid, notSupported, required } from "#apimachinery/field-error.ts";
import { isDns1123Subdomain, isPathSegmentName } from "#apimachinery/names.ts";
import { itemsOf, setTextDefault } from "#api/defaults.ts";
import type { Draft, KindStrategy } from "#api/strategy.ts";

const group = "rbac.authorization.k8s.io";

export const roleBindingStrategy: KindStrategy<RoleBinding> = {
  nameRule: "path-segment",
  hasNoGeneration: true,
  applyDefaults,
  validate: (binding) => validateBinding(binding, ["Role", "ClusterRole"], true),
  validateUpdate: (binding, old) => [
    ...validateBinding(binding, ["Role", "ClusterRole"], true),
    ...validateRoleRefUpdate(binding, old),
  ],
};

export const clusterRoleBindingStrategy: KindStrategy<ClusterRoleBinding> = {
  nameRule: "path-segment",
  hasNoGeneration: true,
  applyDefaults,
  validate: (binding) => validateBinding(binding, ["ClusterRole"], false),
  validateUpdate: (binding, old) => [
    ...validateBinding(binding, ["ClusterRole"], false),
    ...validateRoleRefUpdate(binding, old),
  ],
};

function applyDefaults(draft: Draft): void {
  if (draft["roleRef"]) setTextDefault(draft["roleRef"] as Draft, "apiGroup", group);
  for (const subject of itemsOf(draft["subjects"])) {
    if (subject["kind"] === "User" || subject["kind"] === "Group") setTextDefault(subject, "apiGroup", group);
  }
}

type Binding = { readonly roleRef?: RoleRef; readonly subjects?: readonly Subject[] };

function validateBinding(
  { roleRef, subjects }: Binding,
  kinds: readonly string[],
  isNamespaced: boolean,
): readonly FieldError[] {
  const errors: FieldError[] = [];
  const { apiGroup = "", kind = "", name = "" } = roleRef ?? {};
  if (apiGroup !== group) errors.push(notSupported("roleRef.apiGroup", apiGroup, [group]));
  if (!kinds.includes(kind)) errors.push(notSupported("roleRef.kind", kind, kinds));
  if (name === "") errors.push(required("roleRef.name"));
  else errors.push(...isPathSegmentName(name).map((detail) => invalid("roleRef.name", name, detail)));
  errors.push(
    ...(subjects ?? []).flatMap((subject, index) => validateSubject(subject, `subjects[${index}]`, isNamespaced)),
  );
  return errors;
}

function validateSubject(
  { kind, name, namespace, apiGroup = "" }: Subject,
  field: string,
  isNamespaced: boolean,
): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (!name) errors.push(required(`${field}.name`));
  if (kind === "ServiceAccount") {
    if (name) errors.push(...isDns1123Subdomain(name).map((detail) => invalid(`${field}.name`, name, detail)));
    if (apiGroup !== "") errors.push(notSupported(`${field}.apiGroup`, apiGroup, [""]));
    if (!isNamespaced && !namespace) errors.push(required(`${field}.namespace`));
  } else if (kind === "User" || kind === "Group") {
    if (apiGroup !== group) errors.push(notSupported(`${field}.apiGroup`, apiGroup, [group]));
  } else {
    errors.push(notSupported(`${field}.kind`, kind, ["ServiceAccount", "User", "Group"]));
  }
  if (kind !== "ServiceAccount" && namespace) errors.push(forbiddenField(`${field}.namespace`, ""));
  return errors;
}

function validateRoleRefUpdate({ roleRef }: Binding, old: Binding): readonly FieldError[] {
  const isSame = (["apiGroup", "kind", "name"] as const).every((key) => roleRef?.[key] === old.roleRef?.[key]);
  // As upstream prints its own form.
  const shown = { APIGroup: roleRef?.apiGroup ?? "", Kind: roleRef?.kind ?? "", Name: roleRef?.name ?? "" };
  return isSame ? [] : [invalid("roleRef", shown, "cannot change roleRef")];
}
