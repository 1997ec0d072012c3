// Signatures to exchange with signing_interop, in one shape for both directions:
//
//   node vectors.mjs make  > FILE    ethers signs; "signing_interop verify FILE" must agree
//   node vectors.mjs check   FILE    of "signing_interop sign"; ethers must agree
import { readFileSync } from "node:fs";
import { ethers } from "ethers";
import { verifyResponse } from "./verify.mjs";

const DOMAIN = { name: "Compute Node Network", version: "2" };
const fields = (text) =>
  text.split(", ").map((field) => ({ type: field.split(" ")[0], name: field.split(" ")[1] }));
const ATTESTATION = {
  Attestation: fields(
    "string requestId, string model, bytes32 modelHash, string executor, bytes32 executorHash, " +
      "string imageDigest, bytes32 inputHash, bytes32 outputHash, string outputContentType, " +
      "string sandboxMode, string isolation, bytes32 policyHash, string[] layers, " +
      "uint64 cpuMicros, uint64 wallMicros, uint64 peakMemoryBytes, uint64 startedAtMillis, " +
      "uint64 finishedAtMillis, uint64 timestamp, address node",
  ),
};
const PAYMENT = {
  PaymentAuthorization: fields(
    "string requestId, string model, address payer, uint256 amountWei",
  ),
};
const SUBNET = {
  SubnetMetadata: fields(
    "uint32 subnetId, string name, address owner, uint64 version, SubnetModel[] models",
  ),
  SubnetModel: fields(
    "string model, string version, string format, SubnetFile[] files, string executorScript, " +
      "uint64 memoryBytesMin",
  ),
  SubnetFile: fields("string path, uint64 sizeBytes, bytes32 sha256, bool unpack"),
};
const UPLOAD = {
  FileUpload: fields(
    "uint32 subnetId, bytes32 sha256, uint64 sizeBytes, uint64 expiresSeconds",
  ),
};
const PROOF = { SessionProof: fields("bytes nonce, string gateway, uint32 protocolVersion") };

async function makeResponse(wallet, index) {
  const output = ethers.randomBytes(index * 37);
  const timestamp = 1767225600 + index;
  const request_id = `ethers:${index}`;
  const signed = Buffer.concat([
    Buffer.from(request_id),
    output,
    Buffer.from(String(timestamp)),
  ]);
  const message = {
    requestId: request_id,
    model: `model-${index}`,
    modelHash: ethers.hexlify(ethers.randomBytes(32)),
    executor: "exécuteur 🙂 \"quoted\"\n",
    executorHash: ethers.ZeroHash,
    imageDigest: "",
    inputHash: ethers.hexlify(ethers.randomBytes(32)),
    outputHash: ethers.sha256(output),
    outputContentType: "application/json",
    sandboxMode: "strict",
    isolation: "rewind",
    policyHash: ethers.ZeroHash,
    layers: Array.from({ length: index }, (_, i) => `layer ${i}`),
    // Numbers, decimal texts and hexadecimal texts are all valid EIP-712 JSON.
    cpuMicros: index,
    wallMicros: String(2n ** 64n - 1n),
    peakMemoryBytes: "0xff",
    startedAtMillis: "0",
    finishedAtMillis: Number.MAX_SAFE_INTEGER,
    timestamp: String(timestamp),
    node: wallet.address,
  };
  const signature = await wallet.signTypedData(DOMAIN, ATTESTATION, message);
  return {
    request_id,
    model: message.model,
    output: Buffer.from(output).toString("base64"),
    content_type: "application/json",
    timestamp,
    response_hash: ethers.sha256(output).slice(2),
    response_signature: wallet.signingKey.sign(ethers.sha256(signed)).serialized.slice(2),
    signer: wallet.address,
    completion_validation: JSON.stringify({
      domain: DOMAIN,
      types: ATTESTATION,
      primaryType: "Attestation",
      message,
      signature,
    }),
  };
}

async function makePayment(wallet, amount_wei) {
  const message = {
    requestId: "req-1",
    model: "digits",
    payer: wallet.address,
    amountWei: amount_wei,
  };
  const signature = await wallet.signTypedData(DOMAIN, PAYMENT, message);
  return {
    request_id: "req-1",
    model: "digits",
    payer: wallet.address,
    amount_wei,
    signature: signature.slice(2),
  };
}

async function makeChallenge(wallet, nonceBytes) {
  const challenge = {
    nonce: ethers.hexlify(ethers.randomBytes(nonceBytes)).slice(2),
    gateway: "https://gateway.example:50051",
    protocol_version: 2,
  };
  const message = {
    nonce: `0x${challenge.nonce}`,
    gateway: challenge.gateway,
    protocolVersion: challenge.protocol_version,
  };
  const signature = await wallet.signTypedData(DOMAIN, PROOF, message);
  return { ...challenge, signer: wallet.address, signature: signature.slice(2) };
}

// The metadata of a subnet with `index` models, as the EIP-712 message that its owner signs.
async function makeSubnet(wallet, index) {
  const message = {
    subnetId: index + 1,
    name: "sous-réseau 🙂",
    owner: wallet.address,
    version: String(2n ** 63n + BigInt(index)),
    models: Array.from({ length: index }, (_, i) => ({
      model: `model-${i}`,
      version: `1.${i}`,
      format: "onnx",
      files: Array.from({ length: i + 1 }, (_, f) => ({
        path: `files/${f}.onnx`,
        sizeBytes: f * 1000,
        sha256: ethers.hexlify(ethers.randomBytes(32)),
        unpack: false,
      })),
      executorScript: "",
      memoryBytesMin: i * 1024,
    })),
  };
  const signature = await wallet.signTypedData(DOMAIN, SUBNET, message);
  return { message, signer: wallet.address, signature: signature.slice(2) };
}

async function makeUpload(wallet, index) {
  const message = {
    subnetId: index + 1,
    sha256: ethers.hexlify(ethers.randomBytes(32)),
    sizeBytes: index * 1000,
    expiresSeconds: 1767225600 + index,
  };
  const signature = await wallet.signTypedData(DOMAIN, UPLOAD, message);
  return { message, signer: wallet.address, signature: signature.slice(2) };
}

async function make() {
  const vectors = { hashes: [], keys: [], responses: [], payments: [], challenges: [] };
  vectors.subnets = [];
  vectors.uploads = [];
  for (const length of [0, 1, 31, 32, 33, 135, 136, 137, 1000]) {
    const input = ethers.randomBytes(length);
    vectors.hashes.push({
      input: ethers.hexlify(input).slice(2),
      keccak256: ethers.keccak256(input).slice(2),
      sha256: ethers.sha256(input).slice(2),
    });
  }
  for (let index = 0; index < 16; ++index) {
    const wallet = new ethers.Wallet(ethers.hexlify(ethers.randomBytes(32)));
    vectors.keys.push({ private_key: wallet.privateKey.slice(2), address: wallet.address });
    vectors.responses.push(await makeResponse(wallet, index));
    vectors.payments.push(await makePayment(wallet, String(10n ** BigInt(index * 5))));
    vectors.challenges.push(await makeChallenge(wallet, 16 + index * 3));
    vectors.subnets.push(await makeSubnet(wallet, index));
    vectors.uploads.push(await makeUpload(wallet, index));
  }
  return vectors;
}

function expectSigner(what, found, expected) {
  if (found !== expected) throw new Error(`${what}: ethers recovers ${found}, not ${expected}`);
}

function check(vectors) {
  for (const { input, keccak256, sha256 } of vectors.hashes) {
    expectSigner(`keccak256(${input})`, ethers.keccak256(`0x${input}`), `0x${keccak256}`);
    expectSigner(`sha256(${input})`, ethers.sha256(`0x${input}`), `0x${sha256}`);
  }
  for (const { private_key, address } of vectors.keys) {
    expectSigner("address of a key", ethers.computeAddress(`0x${private_key}`), address);
  }
  for (const response of vectors.responses) {
    verifyResponse(response);
    expectTamperingRejected(response);
  }
  for (const { request_id, model, payer, amount_wei, signature } of vectors.payments) {
    const message = { requestId: request_id, model, payer, amountWei: amount_wei };
    const signer = ethers.verifyTypedData(DOMAIN, PAYMENT, message, `0x${signature}`);
    expectSigner("payment", signer, payer);
  }
  for (const { nonce, gateway, protocol_version, signer, signature } of vectors.challenges) {
    const message = { nonce: `0x${nonce}`, gateway, protocolVersion: protocol_version };
    const found = ethers.verifyTypedData(DOMAIN, PROOF, message, `0x${signature}`);
    expectSigner("session proof", found, signer);
  }
  for (const [kind, types] of [
    ["subnets", SUBNET],
    ["uploads", UPLOAD],
  ]) {
    for (const { message, signer, signature } of vectors[kind]) {
      const found = ethers.verifyTypedData(DOMAIN, types, message, `0x${signature}`);
      expectSigner(kind, found, signer);
    }
  }
  const counts = Object.entries(vectors).map(([kind, items]) => `${items.length} ${kind}`);
  console.log(`signed by the node, verified by ethers: ${counts.join(", ")}`);
}

function expectTamperingRejected(response) {
  const other = { request_id: "other", model: "other", timestamp: 1, output: "AAAA" };
  other.signer = ethers.ZeroAddress;
  for (const [key, value] of Object.entries(other)) {
    try {
      verifyResponse({ ...response, [key]: value });
    } catch {
      continue;
    }
    throw new Error(`a response with another ${key} was accepted`);
  }
}

const [command, file] = process.argv.slice(2);
if (command === "make") {
  console.log(JSON.stringify(await make()));
} else if (command === "check" && file !== undefined) {
  check(JSON.parse(readFileSync(file, "utf8")));
} else {
  console.error("usage: node vectors.mjs make | check FILE");
  process.exitCode = 2;
}
