/**
 * The program that checks a store's data file: `node check-main.ts FOLDER`. Prints the record that is next while it goes, and a verdict as JSON at the end.
 */
import { writeSync } from "node:fs";
import { findDamage } from "#store/lmdb/check.ts";

const folder = process.argv[2] ?? "";
// Written at once: the process may end by a signal while it reads what comes next.
const damage = await findDamage(folder, (record) => writeSync(1, `${record}\n`));
writeSync(1, `${JSON.stringify(damage === undefined ? {} : { damage })}\n`);
