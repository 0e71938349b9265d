import { createViewer } from '@playcanvas/supersplat-viewer';
import { defaultSettings } from '@playcanvas/supersplat-viewer/settings';
import { Matrix4, Vector3 } from 'three';
import { TURNS, camera, shown } from './three.mjs';

export async function run(job) {
    // From our axes to the file's, and from there half a turn about z, as it turns every file.
    const turn = new Matrix4().makeRotationZ(Math.PI);
    if (job.axes === 'colmap') turn.multiply(new Matrix4().makeRotationX(Math.PI));
    for (const [i, look] of job.cameras.entries()) {
        const seen = camera(look, job);
        const position = seen.position.clone().applyMatrix4(turn).toArray();
        const target = new Vector3(0, 0, -1).applyMatrix4(seen.matrixWorld).applyMatrix4(turn).toArray();
        const viewer = await createViewer({
            container: document.getElementById('stage'),
            contentUrl: job.url,
            settings: { ...defaultSettings('object'), background: { color: [1, 1, 1] }, cameras: [{ initial: { position, target, fov: look.fov } }] },
            ui: false,
            noanim: true, // otherwise it goes around the head by itself
            ...job.options,
        });
        if (!viewer.state.loaded) await new Promise((loaded) => viewer.events.once('loaded:changed', loaded));
        for (let n = 0; n < 5; n++) await shown();
        await shoot(job.pictures[i]);
        if (i === job.cameras.length - 1) return { device: viewer.app.graphicsDevice.deviceType, splats: viewer.app.stats.frame.gsplats };
        viewer.destroy();
    }
}
