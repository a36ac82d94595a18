/**
 * The REST operations of a resource, as both versions of OpenAPI describe them: paths, verbs, parameters, bodies. Names as kube-apiserver's installer gives them.
 */
import type { KindFacts, ResourceFacts, SubresourceFacts } from "#api/kind-facts.ts";
import { formatApiVersion } from "#apimachinery/meta.ts";
import { type CustomKind, customDefinitionName } from "./custom-definitions.ts";

/** A query parameter. */
export type QueryParameter = { readonly name: string; readonly type: "string" | "integer" | "boolean" };

/** One method of one path. */
export type Operation = {
  readonly path: string;
  readonly method: "get" | "post" | "put" | "patch" | "delete" | "head" | "options";
  readonly action: string;
  readonly id: string;
  readonly tag: string;
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly query: readonly QueryParameter[];
  /** Name of the body's definition, with the media types that it may have. */
  readonly body?: { readonly definition: string; readonly mediaTypes: readonly string[]; readonly isRequired: boolean };
  /** Name of the answer's definition; undefined for plain text. */
  readonly response: string | undefined;
  readonly statusCodes: readonly (200 | 201 | 202)[];
  readonly produces: readonly string[];
};

/** A resource that is served, built-in or custom. */
export type OpenApiResource = { readonly facts: ResourceFacts; readonly custom?: CustomKind };

const meta = "io.k8s.apimachinery.pkg.apis.meta.v1";
const patchTypes = ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];
const strategicType = "application/strategic-merge-patch+json";
const watchTypes = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

/** Makes the operations of resources. */
export class Operations {
  readonly #facts: KindFacts;

  constructor(facts: KindFacts) {
    this.#facts = facts;
  }

  /** All operations of a resource and its subresources. */
  of(resource: OpenApiResource): Operation[] {
    return new ResourceOperations(this.#facts, resource).all();
  }
}

class ResourceOperations {
  readonly #facts: KindFacts;
  readonly #resource: ResourceFacts;
  readonly #custom: CustomKind | undefined;
  readonly #idMiddle: string;
  readonly #collection: string;
  readonly #item: string;
  readonly #produces: readonly string[];

  constructor(facts: KindFacts, { facts: resource, custom }: OpenApiResource) {
    this.#facts = facts;
    this.#resource = resource;
    this.#custom = custom;
    const root = rootPath(resource);
    this.#collection = resource.isNamespaced
      ? `${root}/namespaces/{namespace}/${resource.resource}`
      : `${root}/${resource.resource}`;
    this.#item = `${this.#collection}/{name}`;
    this.#idMiddle = groupVersionTitle(resource) + (resource.isNamespaced ? "Namespaced" : "");
    const json = ["application/json", "application/yaml"];
    this.#produces = custom === undefined ? [...json, "application/vnd.kubernetes.protobuf"] : json;
  }

  all(): Operation[] {
    const { verbs } = this.#resource;
    const operations = verbs.flatMap((verb) => this.#main(verb));
    for (const subresource of this.#resource.subresources) operations.push(...this.#sub(subresource));
    return operations;
  }

  #main(verb: string): Operation[] {
    const kind = this.#ownKind();
    const definition = this.#definition(kind);
    const name = this.#resource.kind;
    switch (verb) {
      case "list":
        return this.#list();
      case "create":
        return [this.#write("post", "post", this.#collection, `create${this.#idMiddle}${name}`, kind, definition)];
      case "deletecollection":
        return [
          this.#delete(
            this.#collection,
            "deletecollection",
            `delete${groupVersionTitle(this.#resource)}Collection${this.#resource.isNamespaced ? "Namespaced" : ""}${name}`,
          ),
        ];
      case "get":
        return [this.#read(this.#item, `read${this.#idMiddle}${name}`, kind, definition, [])];
      case "update":
        return [this.#write("put", "put", this.#item, `replace${this.#idMiddle}${name}`, kind, definition)];
      case "patch":
        return [this.#patch(this.#item, `patch${this.#idMiddle}${name}`, kind, definition)];
      case "delete":
        return [this.#delete(this.#item, "delete", `delete${this.#idMiddle}${name}`)];
      default:
        return [];
    }
  }

  #list(): Operation[] {
    const { kind, isNamespaced, resource } = this.#resource;
    const definition =
      this.#custom === undefined
        ? this.#definition({ ...this.#ownKind(), kind: `${kind}List` })
        : customDefinitionName(this.#resource, this.#custom.listKind);
    const base = {
      ...this.#base("get", "list", this.#ownKind()),
      query: this.#parametersOf("ListOptions"),
      response: definition,
      produces: this.#resource.verbs.includes("watch") ? [...this.#produces, ...watchTypes] : this.#produces,
    };
    const own: Operation = { ...base, path: this.#collection, id: `list${this.#idMiddle}${kind}` };
    if (!isNamespaced) return [own];
    const everywhere = {
      ...base,
      path: `${rootPath(this.#resource)}/${resource}`,
      id: `list${groupVersionTitle(this.#resource)}${kind}ForAllNamespaces`,
    };
    return [own, everywhere];
  }

  #sub(subresource: SubresourceFacts): Operation[] {
    const { kind } = this.#resource;
    const path = `${this.#item}/${subresource.name}`;
    const suffix = kind + title(subresource.name);
    if (subresource.kind.endsWith("Options")) return this.#connect(subresource, path, suffix);
    const definition = this.#definition(subresource);
    return subresource.verbs.flatMap((verb): Operation[] => {
      switch (verb) {
        case "get":
          return [
            subresource.name === "log"
              ? this.#log(path, suffix)
              : this.#read(path, `read${this.#idMiddle}${suffix}`, subresource, definition, []),
          ];
        case "create":
          return [this.#write("post", "post", path, `create${this.#idMiddle}${suffix}`, subresource, definition)];
        case "update":
          return [this.#write("put", "put", path, `replace${this.#idMiddle}${suffix}`, subresource, definition)];
        case "patch":
          return [this.#patch(path, `patch${this.#idMiddle}${suffix}`, subresource, definition)];
        default:
          return [];
      }
    });
  }

  #log(path: string, suffix: string): Operation {
    const log = this.#read(
      path,
      `read${this.#idMiddle}${suffix}`,
      this.#ownKind(),
      undefined,
      this.#parametersOf("PodLogOptions", "", "v1"),
    );
    return { ...log, produces: ["text/plain", ...this.#produces] };
  }

  /** exec, attach, port-forward and proxies, and for proxies also every path below. */
  #connect(subresource: SubresourceFacts, path: string, suffix: string): Operation[] {
    const isProxy = subresource.name === "proxy";
    const methods = isProxy
      ? (["get", "post", "put", "patch", "delete", "head", "options"] as const)
      : (["get", "post"] as const);
    const paths = isProxy ? [path, `${path}/{path}`] : [path];
    const query = this.#parametersOf(subresource.kind, subresource.group, subresource.version);
    return paths.flatMap((at, index) =>
      methods.map((method) => ({
        ...this.#base(method, "connect", subresource),
        path: at,
        id: `connect${groupVersionTitle(this.#resource)}${title(method)}${this.#resource.isNamespaced ? "Namespaced" : ""}${suffix}${index === 0 ? "" : "WithPath"}`,
        query,
        response: undefined,
        produces: ["*/*"],
      })),
    );
  }

  #read(
    path: string,
    id: string,
    kind: Operation["kind"],
    definition: string | undefined,
    query: readonly QueryParameter[],
  ): Operation {
    return { ...this.#base("get", "get", kind), path, id, query, response: definition };
  }

  #write(
    method: "post" | "put",
    action: string,
    path: string,
    id: string,
    kind: Operation["kind"],
    definition: string,
  ): Operation {
    return {
      ...this.#base(method, action, kind),
      path,
      id,
      query: this.#parametersOf(method === "post" ? "CreateOptions" : "UpdateOptions"),
      body: { definition, mediaTypes: ["*/*"], isRequired: true },
      response: definition,
      statusCodes: method === "post" ? [200, 201, 202] : [200, 201],
    };
  }

  #patch(path: string, id: string, kind: Operation["kind"], definition: string): Operation {
    const mediaTypes = this.#custom === undefined ? [...patchTypes, strategicType] : patchTypes;
    return {
      ...this.#base("patch", "patch", kind),
      path,
      id,
      query: this.#parametersOf("PatchOptions"),
      body: { definition: `${meta}.Patch`, mediaTypes, isRequired: true },
      response: definition,
      statusCodes: [200, 201],
    };
  }

  #delete(path: string, action: "delete" | "deletecollection", id: string): Operation {
    const options = this.#parametersOf("DeleteOptions");
    const query = action === "delete" ? options : [...this.#parametersOf("ListOptions"), ...options];
    return {
      ...this.#base("delete", action, this.#ownKind()),
      path,
      id,
      query: query.filter((each, index) => query.findIndex((other) => other.name === each.name) === index),
      body: { definition: `${meta}.DeleteOptions`, mediaTypes: ["*/*"], isRequired: false },
      response: `${meta}.Status`,
      statusCodes: action === "delete" ? [200, 202] : [200],
    };
  }

  #base(method: Operation["method"], action: string, kind: Operation["kind"]) {
    return {
      method,
      action,
      tag: tagOf(this.#resource),
      kind: { group: kind.group, version: kind.version, kind: kind.kind },
      statusCodes: [200] as readonly (200 | 201 | 202)[],
      produces: this.#produces,
    };
  }

  #ownKind(): Operation["kind"] {
    const { group, version, kind } = this.#resource;
    return { group, version, kind };
  }

  #definition(kind: Operation["kind"]): string {
    if (this.#custom !== undefined && kind.kind === this.#resource.kind) return customDefinitionName(this.#resource);
    return this.#facts.schemaOf(kind.group, kind.version, kind.kind)?.name ?? `${meta}.Status`;
  }

  /** The scalar fields of an options kind. */
  #parametersOf(kind: string, group = "meta.k8s.io", version = "v1"): QueryParameter[] {
    const fields = [...(this.#facts.schemaOf(group, version, kind)?.fields.values() ?? [])];
    return fields
      .filter((field) => field.name !== "apiVersion" && field.name !== "kind" && field.schema.kind !== "struct")
      .map(({ name, schema }) => ({ name, type: schema.kind === "scalar" ? parameterType(schema.type) : "string" }));
  }
}

function parameterType(type: string): QueryParameter["type"] {
  if (type === "boolean") return "boolean";
  return type === "int32" || type === "int64" ? "integer" : "string";
}

function rootPath(facts: ResourceFacts): string {
  return `${facts.group === "" ? "/api" : "/apis"}/${formatApiVersion(facts)}`;
}

/** "AppsV1", "CoreV1", "RbacAuthorizationV1". */
function groupVersionTitle({ group, version }: ResourceFacts): string {
  const words = group === "" ? ["core"] : group.replace(/\.k8s\.io$/, "").split(".");
  return words.map(title).join("") + title(version);
}

/** "apps_v1", "core_v1", "rbacAuthorization_v1". */
function tagOf({ group, version }: ResourceFacts): string {
  const [first = "core", ...rest] = group === "" ? ["core"] : group.replace(/\.k8s\.io$/, "").split(".");
  return `${first}${rest.map(title).join("")}_${version}`;
}

function title(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
