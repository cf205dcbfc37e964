// How Renovate's own `docker` versioning compares our tags: renovate.cjs FOLDER, where `npm pack renovate@37` was unpacked.
// Prints a line a question; the exit code is 1 if an answer is another one.
"use strict";
const path = require("node:path");
const Module = require("node:module");
// what the versioning needs of the rest of Renovate, without the packages that the rest needs
const stubs = {
    "util/regex": { regEx: (pattern, flags) => new RegExp(pattern, flags) },
    "@sindresorhus/is": { __esModule: true, default: { nonEmptyString: (value) => typeof value === "string" && value !== "" } },
    tslib: { __importDefault: (module) => (module && module.__esModule ? module : { default: module }) },
    "util/string": { coerceString: (value, other) => value ?? other ?? "" },
};
const load = Module._load;
Module._load = function (request, ...rest) {
    const stub = Object.keys(stubs).find((name) => request === name || request.endsWith(`/${name}`));
    return stub ? stubs[stub] : load.call(this, request, ...rest);
};
const { api } = require(path.resolve(process.argv[2], "dist/modules/versioning/docker"));

const old = "11.0.27.0.20261126.1";
const questions = [
    ["a fixed tag is a version", () => api.isVersion(old) && api.isStable(old)],
    ["a later date is newer", () => api.isGreaterThan("11.0.27.0.20261127.1", old)],
    ["a tenth revision is newer than a ninth", () => api.isGreaterThan("11.0.27.0.20261126.10", "11.0.27.0.20261126.9")],
    ["a later date is newer than many revisions", () => api.isGreaterThan("11.0.27.0.20261127.1", "11.0.27.0.20261126.12")],
    ["a later software is newer than a later date", () => api.isGreaterThan("11.0.28.0.20261127.1", "11.0.27.0.20261231.1")],
    ["an earlier date is not newer", () => !api.isGreaterThan("11.0.27.0.20261125.3", old)],
    ["fixed tags are compared with each other", () => api.isCompatible("11.0.28.0.20261127.1", old)],
    ["a moving tag does not replace a fixed one", () => !api.isCompatible("11", old) && !api.isCompatible("11-jre25", old)],
    ["nor does a fixed one with another suffix", () => !api.isCompatible("11.0.28.0.20261127.1-debian", old)],
    ["suffixes are compared with their like", () => api.isCompatible("11.0.28.0.20261127.1-debian", `${old}-debian`)],
    ["the major number is the software's", () => api.getMajor(old) === 11],
];
let wrong = 0;
for (const [text, holds] of questions) {
    const fine = holds() === true;
    wrong += fine ? 0 : 1;
    console.log(`${fine ? "ok    " : "FAILED"} ${text}`);
}
process.exit(wrong === 0 ? 0 : 1);
