/**
 * The first files of a new function, per runtime: what a person reads first about functions, so as little as can be.
 */
import type { FunctionRuntime } from "#api/nodeless/function-runtime.ts";

/** Files by their names. With `isForEvents` the handler takes CloudEvents, for runtimes that have a handler. */
export function templateFiles(
  name: string,
  runtime: FunctionRuntime,
  isForEvents = false,
): Readonly<Record<string, string>> {
  const description = functionYaml(name, runtime);
  if (isForEvents && runtime !== "container") return eventFiles(name, runtime);
  if (runtime === "python") return { "main.py": pythonCode, "function.yaml": description, ".funcignore": pythonIgnore };
  if (runtime === "container")
    return { Dockerfile: dockerfile, "server.py": containerCode, "function.yaml": description };
  const code = runtime === "node" ? nodeCode : isolateCode;
  return { "index.ts": code, "function.yaml": description, ".funcignore": scriptIgnore };
}

function functionYaml(name: string, runtime: FunctionRuntime): string {
  return `apiVersion: nodeless.dev/v1alpha1
kind: Function
metadata:
  name: ${name}
spec:
  runtime: ${runtime}
  env:
    - name: GREETING
      value: Hello
`;
}

// A line of its own: it is the function's, not this file's.
const handlerHead = "export default {";

const isolateCode = `interface Env {
  readonly GREETING: string;
}

${handlerHead}
  async fetch(request: Request, env: Env): Promise<Response> {
    const name = new URL(request.url).searchParams.get("name") ?? "world";
    console.log("greeting", name);
    return new Response(\`\${env.GREETING}, \${name}!\\n\`);
  },
};
`;

const nodeCode = `${handlerHead}
  async fetch(request: Request): Promise<Response> {
    const name = new URL(request.url).searchParams.get("name") ?? "world";
    console.log("greeting", name);
    return new Response(\`\${process.env.GREETING}, \${name}, from Node \${process.version}!\\n\`);
  },
};
`;

const pythonCode = `import os


def handler(request):
    name = request.query.get("name", "world")
    print("greeting", name)
    return f"{os.environ['GREETING']}, {name}!\\n"
`;

const dockerfile = `FROM docker.io/library/python:3-slim
COPY server.py /server.py
CMD ["python3", "/server.py"]
`;

const containerCode = `import os
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"{os.environ['GREETING']} from a container!\\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


# The first process of a container ends by a signal only if it says so.
signal.signal(signal.SIGTERM, lambda *_: exit(0))
ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
`;

function eventFiles(name: string, runtime: FunctionRuntime): Readonly<Record<string, string>> {
  const description = functionYaml(name, runtime).replace(/  env:\n[^]*$/, "");
  if (runtime === "python")
    return { "main.py": pythonEventCode, "function.yaml": description, ".funcignore": pythonIgnore };
  return { "index.ts": eventCode, "function.yaml": description, ".funcignore": scriptIgnore };
}

// What is answered with such headers is an event again, when a Broker asked.
const eventCode = `${handlerHead}
  async fetch(request: Request): Promise<Response> {
    const type = request.headers.get("ce-type") ?? "no event";
    const subject = request.headers.get("ce-subject") ?? "";
    const data = await request.text();
    console.log(type, subject, data);
    const headers = {
      "ce-specversion": "1.0",
      "ce-id": crypto.randomUUID(),
      "ce-source": "/functions",
      "ce-type": \`\${type}.seen\`,
    };
    return Response.json({ subject, size: data.length }, { headers });
  },
};
`;

const pythonEventCode = `import uuid


def handler(request):
    kind = request.headers.get("ce-type", "no event")
    subject = request.headers.get("ce-subject", "")
    print(kind, subject, request.text)
    headers = {
        "ce-specversion": "1.0",
        "ce-id": str(uuid.uuid4()),
        "ce-source": "/functions",
        "ce-type": f"{kind}.seen",
    }
    return {"subject": subject, "size": len(request.body)}, 200, headers
`;

const scriptIgnore = "*.log\n*.test.ts\n.env\n";
const pythonIgnore = "*.log\n*_test.py\n.env\n";
