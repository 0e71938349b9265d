import * as GaussianSplats3D from '@mkkellogg/gaussian-splats-3d';
import { TURNS, camera, renderer, shown } from './three.mjs';

export async function run(job) {
    const gl = renderer(job);
    const viewer = new GaussianSplats3D.Viewer({
        renderer: gl,
        camera: camera(job.cameras[0], job),
        rootElement: document.getElementById('stage'),
        selfDrivenMode: false,
        useBuiltInControls: false,
        sharedMemoryForWorkers: false, // would need special headers
        sceneRevealMode: GaussianSplats3D.SceneRevealMode.Instant,
        ...job.options,
    });
    await viewer.addSplatScene(job.url, { rotation: TURNS[job.axes], showLoadingUI: false });
    for (const [i, look] of job.cameras.entries()) {
        const seen = camera(look, job);
        viewer.camera.position.copy(seen.position);
        viewer.camera.quaternion.copy(seen.quaternion);
        viewer.camera.updateMatrixWorld();
        await viewer.runSplatSort(true, true);
        while (viewer.sortRunning) await shown();
        viewer.update();
        viewer.render();
        await shown();
        await shoot(job.pictures[i]);
    }
}
