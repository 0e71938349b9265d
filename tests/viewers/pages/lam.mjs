import { GaussianSplatRenderer } from 'gaussian-splat-renderer-for-lam';
import { camera, shown } from './three.mjs';

const STAND = 1.6; // m, how high above ours its heads are

export async function run(job) {
    let done = 0;
    const { viewer } = await GaussianSplatRenderer.getInstance(document.getElementById('stage'), job.url, {
        getChatState: () => 'Idle',
        getExpressionData: () => ({}),
        loadProgress: (share) => (done = share),
    });
    while (done < 1) await shown();
    viewer.controls = null; // they would turn the camera back
    viewer.splatMesh.sceneFadeInRateMultiplier = 60;
    while (!viewer.splatMesh.material.uniforms.fadeInComplete.value) await shown();
    for (const [i, look] of job.cameras.entries()) {
        const seen = camera(look, job);
        viewer.camera.position.set(seen.position.x, seen.position.y + STAND, seen.position.z);
        viewer.camera.quaternion.set(...seen.quaternion.toArray());
        viewer.camera.fov = look.fov;
        viewer.camera.aspect = job.width / job.height;
        viewer.camera.updateProjectionMatrix();
        viewer.camera.updateMatrixWorld();
        for (let sorts = 0; sorts < 3; sorts++) { // it sorts all the time
            while (!viewer.sortRunning) await shown();
            while (viewer.sortRunning) await shown();
        }
        await shown();
        await shoot(job.pictures[i]);
    }
}
