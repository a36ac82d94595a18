/** Runs in the guest: each POST is a shell script to run; the answer is its code and output as JSON. */
import { execFile } from "node:child_process";
import { createServer } from "node:http";

createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const script = Buffer.concat(chunks).toString();
    execFile("bash", ["-c", script], { maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
      response.end(JSON.stringify({ code, stdout, stderr }));
    });
  });
}).listen(7000, "0.0.0.0");
