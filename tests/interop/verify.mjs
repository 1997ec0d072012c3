#!/usr/bin/env node
// Verifies a result that "ncn infer --save FILE" wrote, with nothing of this project: hashes,
// recovery and EIP-712 are those of ethers.
//
//   node verify.mjs FILE...
//
// Prints "verified by ethers: 0x…" for each, or says what is wrong and exits 1.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { ethers } from "ethers";

const DOMAIN = { name: "Compute Node Network", version: "2" };

class Rejected extends Error {}

function expectEqual(what, found, expected) {
  if (found !== expected) throw new Rejected(`${what} is ${found}, expected ${expected}`);
}

function hex(digits) {
  const text = String(digits);
  return (text.startsWith("0x") ? text : `0x${text}`).toLowerCase();
}

// Returns the EIP-55 address that signed the response; throws when anything does not agree.
export function verifyResponse(response) {
  const output = Buffer.from(response.output, "base64");
  const outputHash = ethers.sha256(output);
  expectEqual("response_hash", hex(response.response_hash), outputHash);

  const signed = Buffer.concat([
    Buffer.from(response.request_id),
    output,
    Buffer.from(String(response.timestamp)),
  ]);
  const signer = ethers.recoverAddress(ethers.sha256(signed), hex(response.response_signature));
  expectEqual("the signer of response_signature", signer, ethers.getAddress(response.signer));

  const attestation = JSON.parse(response.completion_validation);
  const { domain, types, primaryType, message, signature } = attestation;
  expectEqual("the attestation's domain", JSON.stringify(domain), JSON.stringify(DOMAIN));
  expectEqual("the attestation's primary type", primaryType, "Attestation");
  expectEqual(
    "the attestation's signer",
    ethers.verifyTypedData(domain, types, message, signature),
    signer,
  );
  const named = new Set(types.Attestation.map((field) => field.name));
  const attested = { requestId: response.request_id, model: response.model };
  attested.outputHash = outputHash;
  attested.timestamp = String(response.timestamp);
  attested.node = signer;
  if (response.content_type !== undefined) attested.outputContentType = response.content_type;
  for (const [key, value] of Object.entries(attested)) {
    expectEqual(`the attestation's type ${key}`, named.has(key), true);
    expectEqual(`the attestation's ${key}`, message[key], value);
  }
  return signer;
}

function main(files) {
  if (files.length === 0) {
    console.error("usage: node verify.mjs FILE...   (as written by: ncn infer --save FILE)");
    return 2;
  }
  let status = 0;
  for (const file of files) {
    try {
      const response = JSON.parse(readFileSync(file, "utf8"));
      console.log(`verified by ethers: ${verifyResponse(response)}`);
    } catch (error) {
      console.error(`${file}: NOT verified: ${error.message}`);
      status = 1;
    }
  }
  return status;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = main(process.argv.slice(2));
}
