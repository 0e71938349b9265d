// A .glb in three's GLTFLoader: what is in it, and where its vertices are in each pose.
import { Box3, Vector3 } from 'three';
import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';

/** job.poses: [{weights: {target: 0..1}, turns: {joint: axis-angle [3]}}]; job.most: vertices of each mesh to tell of. */
export async function run(job) {
    const { scene } = await new GLTFLoader().loadAsync(job.url);
    const meshes = [];
    scene.traverse((thing) => thing.isSkinnedMesh && meshes.push(thing));
    const bones = new Map(meshes.flatMap((mesh) => mesh.skeleton.bones).map((bone) => [bone.name, bone]));
    scene.updateMatrixWorld(true);
    const box = new Box3().setFromObject(scene);
    const told = meshes.map((mesh) => ({
        name: mesh.name,
        targets: Object.keys(mesh.morphTargetDictionary ?? {}),
        texture: mesh.material.map && [mesh.material.map.image.width, mesh.material.map.image.height],
        vertices: mesh.geometry.attributes.position.count,
        places: job.poses.map((pose) => base64(places(scene, mesh, bones, pose, job.most))),
    }));
    return { meshes: told, bones: [...bones.keys()], box: [box.min.toArray(), box.max.toArray()] };
}

/** Every vertex in the world, or every so manieth: [n * 3]. */
function places(scene, mesh, bones, { weights, turns }, most) {
    mesh.morphTargetInfluences.fill(0);
    for (const [name, weight] of Object.entries(weights)) mesh.morphTargetInfluences[mesh.morphTargetDictionary[name]] = weight;
    for (const [name, bone] of bones) {
        const turn = new Vector3().fromArray(turns[name] ?? [0, 0, 0]);
        const angle = turn.length();
        bone.quaternion.setFromAxisAngle(angle ? turn.divideScalar(angle) : turn, angle);
    }
    scene.updateMatrixWorld(true);
    mesh.skeleton.update();
    const count = mesh.geometry.attributes.position.count;
    const place = new Vector3();
    const found = [];
    for (let i = 0; i < count; i += Math.ceil(count / most)) {
        found.push(...mesh.getVertexPosition(i, place).applyMatrix4(mesh.matrixWorld));
    }
    return new Float32Array(found);
}

/** Numbers by the million would take minutes on their way out of the page. */
function base64(numbers) {
    return btoa(Array.from(new Uint8Array(numbers.buffer), (byte) => String.fromCharCode(byte)).join(''));
}
