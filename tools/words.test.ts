import assert from "node:assert/strict";
import { test } from "node:test";
import { wordsOf } from "./words.ts";

test("a class's and its fields' words are found, those of names that JavaScript keeps included", () => {
  const source = `/**
 * Kubernetes
 */
import { V1B } from '../models/V1B.js';
/**
* A thing.
*/
export declare class V1Thing {
    /**
    * It\\'s \\"said\\".
    */
    'plain'?: string;
    'silent': V1B;
    /**
    * Goes on.
    */
    '_continue'?: string;
    static readonly discriminator: string | undefined;
    /**
    * Not a field.
    */
    constructor();
}`;

  assert.deepEqual(wordsOf(source), { V1Thing: { "": "A thing.", plain: `It's "said".`, continue: "Goes on." } });
});
