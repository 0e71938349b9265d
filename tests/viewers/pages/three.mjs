// What all viewers on three have in common: a renderer on white, and a camera as our pictures have it.
import * as THREE from 'three';

export const TURNS = { colmap: [1, 0, 0, 0], gl: [0, 0, 0, 1] }; // a file's axes to ours, quaternion xyzw

export function renderer({ width, height }) {
    const made = new THREE.WebGLRenderer({ antialias: false });
    made.setSize(width, height);
    made.setClearColor(0xffffff, 1);
    document.getElementById('stage').append(made.domElement);
    return made;
}

/** A camera from a world-to-camera matrix (rows, OpenCV's axes) and its vertical field of view in degrees. */
export function camera({ viewmat, fov }, { width, height }) {
    const made = new THREE.PerspectiveCamera(fov, width / height, 0.05, 100);
    const [x, y, z] = viewmat; // three looks along -z with y up
    const view = new THREE.Matrix4().set(...x, ...y.map((v) => -v), ...z.map((v) => -v), 0, 0, 0, 1);
    view.invert().decompose(made.position, made.quaternion, made.scale);
    made.updateMatrixWorld();
    return made;
}

/** Until the browser has shown what was drawn. */
export async function shown() {
    for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
}
